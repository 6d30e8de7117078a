/// What a target needs of the copy service: copies within a budget of its own. Belongs to a queue thread.
///
/// The seam between targets and the copy service: tests put a copier behind it that copies at once, late, out of order, or fails.
public protocol ChunkCopier: AnyObject {
    /// How many devices one copy can write to: 8.
    var mostDestinations: Int { get }

    /// Copies `count` sectors to 1 to `mostDestinations` places, with one read.
    /// - Parameters:
    ///   - overlay: what is laid over the data that was read before it is written; its memory has to stay until `ended`.
    ///   - ended: called once, on the queue thread. Bit i of the second is set if destination i had an error.
    func copy(
        from source: any TargetDevice, sector: UInt64, count: UInt64, to destinations: [CopyDestination],
        overlay: [OverlayStretch], ended: @escaping (_ readError: Bool, _ writeErrors: UInt32) -> Void)
    /// Writes zeroes.
    func zero(_ destination: CopyDestination, count: UInt64, ended: @escaping (_ writeError: Bool) -> Void)
    /// Gives the budget back when everything has ended, then calls back on the queue thread.
    func destroy(_ done: @escaping () -> Void)
}

/// Where a copy is written to.
public struct CopyDestination {
    /// The device.
    public var device: any TargetDevice
    /// First sector.
    public var sector: UInt64

    /// A place on a device.
    public init(_ device: any TargetDevice, _ sector: UInt64) {
        self.device = device
        self.sector = sector
    }
}

/// Sectors in memory that take the place of some of those that are copied.
public struct OverlayStretch {
    /// Where they go, counted in sectors from the start of the copy.
    public var sector: UInt64
    /// How many sectors.
    public var count: UInt64
    /// Where they are.
    public var address: UnsafeRawPointer

    /// `count` sectors at `address` that go to `sector`.
    public init(sector: UInt64, count: UInt64, address: UnsafeRawPointer) {
        self.sector = sector
        self.count = count
        self.address = address
    }
}
