/// A block device as its servers see it: something that takes requests on one queue thread.
public protocol ServedDevice: AnyObject {
    /// Size in sectors.
    var sectors: UInt64 { get }
    /// Whether writes are refused (EROFS).
    var isReadOnly: Bool { get }
    /// What positions and lengths of requests are multiples of, in sectors; a power of two.
    var logicalBlockSectors: UInt64 { get }
    /// The length that is best for it, in sectors; a power of two.
    var preferredSectors: UInt64 { get }
    /// Whether a discard does anything.
    var canDiscard: Bool { get }
    /// Whether zeroes are written faster than data.
    var canWriteZeroesFast: Bool { get }

    /// Takes a request, whose range lies inside the device. On the queue thread.
    func handle(_ request: BlockRequest)
    /// What is known of a range, which lies inside the device, without reading it: one stretch at least, the last may end
    /// early. On the queue thread.
    func allocation(in range: SectorRange, limit: Int) -> [Allocation]
    /// Somebody has begun to use it.
    func opened()
    /// Somebody has ceased to use it.
    func closed()
}

/// A stretch of a device of which the same is known, by its end.
public struct Allocation: Hashable, Sendable {
    /// The sector after its last.
    public var end: UInt64
    /// Whether nothing is stored there.
    public var isHole: Bool
    /// Whether it reads as zeroes.
    public var isZero: Bool

    /// A stretch that ends before `end`.
    public init(end: UInt64, isHole: Bool, isZero: Bool) {
        self.end = end
        self.isHole = isHole
        self.isZero = isZero
    }
}
