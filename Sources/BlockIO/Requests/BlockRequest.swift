/// A request of somebody who uses a block device: what a server hands to the device that it serves.
///
/// Belongs to one queue thread, and is made to be used again: a server keeps those that have ended. While the request is
/// with the device, the device alone touches it; it gives it back by `end(_:)`, once.
public final class BlockRequest {
    /// What is asked for. A discard is a hint: it may do nothing.
    public var operation = IOOperation.Kind.read
    /// Whether the data is to be durable before the request ends (forced unit access).
    public var isFUA = false
    /// For `writeZeroes`: whether the storage may be given up. The range reads as zeroes in any case.
    public var mayUnmap = true
    /// First sector, on the device that the request is made to. 0 for a flush.
    public var sector: UInt64 = 0
    /// Number of sectors. 0 for a flush.
    public var count: UInt64 = 0
    /// The data, `count` sectors from an address that is a multiple of 4096; nil where none belongs to the operation.
    public var memory: MemorySlice?
    /// How it ended: 0 or an errno.
    public private(set) var errno: Int32 = 0
    /// Called once, on the queue thread, when the request has ended.
    public var ended: (BlockRequest) -> Void

    // For those who handle the request.

    /// The request that this one is a part of.
    public var parent: BlockRequest?
    /// Parts of this request that have not ended: see `partEnded`.
    public var parts = 0
    /// The first error of a part of this request; 0 while there is none.
    public var partErrno: Int32 = 0
    /// The next in a list of requests that wait for the same thing.
    public var next: BlockRequest?
    /// A transfer of its own, for a request that a device can be handed as it is.
    private let io = DeviceIO()

    /// A request that has yet to be described.
    public init(ended: @escaping (BlockRequest) -> Void) {
        self.ended = ended
        io.ended = { [unowned self] io in self.end(io.errno) }
    }

    /// Describes the request anew.
    public func describe(
        _ operation: IOOperation.Kind, sector: UInt64 = 0, count: UInt64 = 0, memory: MemorySlice? = nil,
        isFUA: Bool = false
    ) {
        self.operation = operation
        self.sector = sector
        self.count = count
        self.memory = memory
        self.isFUA = isFUA
        mayUnmap = true
        errno = 0
        parts = 0
        partErrno = 0
        parent = nil
        next = nil
    }

    /// The sectors.
    public var range: SectorRange { SectorRange(start: sector, count: count) }
    /// Whether it changes the device's content.
    public var isWrite: Bool { operation == .write || operation == .writeZeroes }

    /// The memory of the sectors from `sector` of the device on.
    public func memory(at sector: UInt64) -> MemorySlice? {
        guard var slice = memory else { return nil }
        slice.address += Int(sector - self.sector) << Sector.shift
        return slice
    }

    /// The transfer that carries this request to `sector` of a device; it ends the request when it ends.
    public func transfer(to sector: UInt64) -> DeviceIO {
        io.describe(operation, sector: sector, count: count, memory: memory, isFUA: isFUA)
        return io
    }

    /// A part of the request has ended; with the last one the request ends, with the first error that a part has had.
    public func partEnded(_ errno: Int32) {
        if partErrno == 0 { partErrno = errno }
        parts -= 1
        if parts == 0 { end(partErrno) }
    }

    /// Gives the request back.
    public func end(_ errno: Int32) {
        self.errno = errno
        ended(self)
    }
}
