/// One transfer, as an engine is asked for it.
public struct IOOperation {
    /// What is done.
    public enum Kind: UInt8, Sendable {
        /// Device to memory.
        case read
        /// Memory to device.
        case write
        /// The device is to read as zeroes there; no memory is involved. Where the device cannot do it by
        /// itself, zeroes are written.
        case writeZeroes
        /// What was written is to become durable.
        case flush
        /// The device need not keep what is there; what it reads as afterwards is not said. A hint: where the device cannot
        /// do it, the operation ends with EOPNOTSUPP.
        case discard
        /// Waits until something can be read from a descriptor that is no device, or its other side has gone.
        case pollIn
        /// Waits until something can be written to a descriptor that is no device, or its other side has gone.
        case pollOut
    }

    /// What is done.
    public var kind: Kind
    /// The device, as `attach` of the engine named it.
    public var device: AttachedDevice
    /// Position on the device in bytes.
    public var offset: UInt64
    /// Length in bytes.
    public var length: Int
    /// Where the data is; nil for everything but reads and writes.
    public var memory: MemorySlice?
    /// Whether a write is to be durable when it ends.
    public var isFUA: Bool

    /// An operation.
    public init(
        _ kind: Kind, _ device: AttachedDevice, offset: UInt64 = 0, length: Int = 0, memory: MemorySlice? = nil,
        isFUA: Bool = false
    ) {
        self.kind = kind
        self.device = device
        self.offset = offset
        self.length = length
        self.memory = memory
        self.isFUA = isFUA
    }
}

/// A device that an engine knows.
public struct AttachedDevice: Hashable, Sendable {
    /// The descriptor.
    public var descriptor: Int32
    /// Its place in the ring's table of registered files, or -1.
    public var slot: Int32
    /// Whether it is a file that lies in memory.
    var isInMemory = false

    init(descriptor: Int32, slot: Int32) {
        self.descriptor = descriptor
        self.slot = slot
    }
}

/// A stretch of memory that an engine knows.
public struct MemorySlice {
    /// First byte.
    public var address: UnsafeMutableRawPointer
    /// The place of its pool in the ring's table of registered buffers, or -1.
    public var slot: Int32

    /// Memory at `address` inside the pool registered as `slot`.
    public init(address: UnsafeMutableRawPointer, slot: Int32) {
        self.address = address
        self.slot = slot
    }
}

/// What became of an operation handed to a raw engine: bytes done, or a negative errno.
public struct RawCompletion: Sendable {
    /// The number that the submitter gave.
    public var tag: UInt64
    /// Bytes done, or a negative errno.
    public var result: Int32
}

/// Something that does I/O for one lane: a ring, or threads that block.
///
/// An engine belongs to one serial queue: every call but `interrupt()` is made on it. Completions report what the
/// system reported, short transfers and all; `IOQueue` above makes whole operations of them.
public protocol IOEngine: AnyObject {
    /// How many operations it takes before completions have to be taken.
    var depth: Int { get }
    /// Called with completions by `takeCompletions()` and by `wait`.
    var onCompletions: ((UnsafeBufferPointer<RawCompletion>) -> Void)? { get set }
    /// Called on the lane's queue when there are completions to take.
    var onReady: (() -> Void)? { get set }

    /// Makes a device known.
    func attach(_ device: BlockDevice) -> AttachedDevice
    /// Forgets a device; when it returns, the engine holds no reference to the descriptor.
    func detach(_ device: AttachedDevice)
    /// Makes memory known and returns its slot, -1 where it can be used without being registered only.
    func attach(_ memory: PageMemory) -> Int32
    /// Forgets memory.
    func detach(memorySlot: Int32)

    /// Takes an operation. With `linked`, the next one handed over starts when this one has
    /// succeeded in full, and is answered -ECANCELED when it has not.
    func prepare(_ operation: IOOperation, tag: UInt64, linked: Bool)
    /// Starts what was prepared.
    func submit()
    /// Hands over the completions that are there; false where there were none.
    func takeCompletions() -> Bool
    /// Starts what was prepared, waits until `count` completions are there or the time is over, and hands the completions
    /// over. `interrupt()` counts as a completion: a wait for one ends with it, a longer one by its time at the latest. False where there were none, or where this engine cannot wait: `onReady` will tell then.
    func wait(count: Int, nanoseconds: UInt64) -> Bool
    /// Counts as a completion for a `wait`, the present or the next one. From any thread.
    func interrupt()
    /// Gives everything back; nothing may be under way.
    func shutdown()
}

/// Which engine is wanted.
public enum EngineChoice: String, CaseIterable, Sendable {
    /// io_uring where the kernel allows it, else blocking calls.
    case auto
    /// io_uring.
    case uring
    /// Blocking calls on threads of their own.
    case blocking
}
