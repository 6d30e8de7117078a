/// One transfer between a queue thread and a device, as an object that can be used again: a request that passes through
/// a target costs no allocation.
///
/// Belongs to the queue thread that it is started on. Whoever starts it leaves it alone until `ended` is called.
public final class DeviceIO {
    /// What is done.
    public var kind = IOOperation.Kind.read
    /// Position on the device in bytes.
    public var offset: UInt64 = 0
    /// Length in bytes.
    public var length = 0
    /// Where the data is; nil for everything but reads and writes.
    public var memory: MemorySlice?
    /// Whether a write is to be durable when it ends.
    public var isFUA = false
    /// How it ended: 0 or an errno. Set before `ended` is called.
    public var errno: Int32 = 0
    /// Called once for every start, on the queue thread.
    public var ended: (DeviceIO) -> Void

    /// A transfer that has yet to be described.
    public init(ended: @escaping (DeviceIO) -> Void = { _ in }) {
        self.ended = ended
    }

    /// Describes a transfer between memory and sectors.
    public func describe(
        _ kind: IOOperation.Kind, sector: UInt64, count: UInt64, memory: MemorySlice? = nil, isFUA: Bool = false
    ) {
        self.kind = kind
        offset = sector << UInt64(Sector.shift)
        length = Int(count) << Sector.shift
        self.memory = memory
        self.isFUA = isFUA
        errno = 0
    }
}
