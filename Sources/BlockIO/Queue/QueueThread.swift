import CLinux
import Dispatch
import Glibc
import Synchronization
public import SystemPackage

/// A thread with a ring of its own, on which block devices are served: it takes requests from sockets, does the transfers
/// they need on the same ring, and answers, without a hop to any other thread. It blocks only while there is nothing to do.
///
/// Everything is called on the thread itself, but `post`, `sync`, `isCurrent` and `stop`.
public final class QueueThread: @unchecked Sendable {  // all state but `inbox` belongs to the thread
    private struct Inbox {
        var work: [@Sendable () -> Void] = []
        /// Whether the thread waits, or is about to, and has to be woken.
        var isWaiting = false
        var isStopping = false
    }

    private struct Timer {
        let due: UInt64
        let id: UInt64
        let work: () -> Void
    }

    /// The name, of at most 15 bytes, that the system shows.
    public let name: String
    /// The engine in use: "uring" or "blocking".
    public private(set) var engineName = ""
    /// Why it is not io_uring, where `auto` could not have that.
    public private(set) var ringRefusal: BlockError?

    private let inbox = Mutex(Inbox())
    private let ended = DispatchSemaphore(value: 0)
    private let thread = Mutex<pthread_t?>(nil)
    private var io: IOQueue?
    private var attached: [UInt64: AttachedDevice] = [:]
    private var timers: [Timer] = []
    private var lastTimer: UInt64 = 0
    /// What is to be done once the present batch of ends has been told.
    private var afterBatch: [() -> Void] = []
    /// Memory for the data of requests.
    public private(set) lazy var memory = RequestMemory(thread: self)

    /// Starts a thread.
    /// - Throws: what io_uring_setup(2) answered where `uring` was asked for, or that no thread can be had.
    public init(name: String, engine: EngineChoice = .auto) throws(BlockError) {
        self.name = name
        let start = DispatchSemaphore(value: 0)
        let failure = Mutex<BlockError?>(nil)
        let body: @Sendable () -> Void = { [self] in
            do throws(BlockError) { try self.begin(engine) } catch { failure.withLock { $0 = error } }
            start.signal()
            if failure.withLock({ $0 }) == nil { run() }
            ended.signal()
        }
        try Self.spawn(body)
        start.wait()
        if let error = failure.withLock({ $0 }) { throw error }
    }

    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private static func spawn(_ body: @escaping @Sendable () -> Void) throws(BlockError) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        defer { pthread_attr_destroy(&attributes) }
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(Body(body))
        let result = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, argument.toOpaque())
        guard result == 0 else {
            argument.release()
            throw BlockError("queue thread", "start", Errno(rawValue: result))
        }
    }

    private func begin(_ choice: EngineChoice) throws(BlockError) {
        thread.withLock { $0 = pthread_self() }
        clinux_name_thread(name)
        // Without the capability it may wait for memory; where nothing of the system lies on its devices that does no harm.
        _ = clinux_io_flusher()
        var engine: (any IOEngine)?
        if choice != .blocking {
            do throws(BlockError) { engine = try RingEngine(queue: nil) } catch {
                if choice == .uring { throw error }
                ringRefusal = error
            }
        }
        engineName = (engine == nil ? EngineChoice.blocking : .uring).rawValue
        let chosen = if let engine { engine } else { try ThreadedEngine() as any IOEngine }
        let io = IOQueue(engine: InMemoryEngine(over: chosen))
        io.client = TransferEnds()
        self.io = io
    }

    // MARK: From other threads

    /// Whether the caller runs on this thread.
    public var isCurrent: Bool { thread.withLock { $0.map { pthread_equal($0, pthread_self()) != 0 } ?? false } }

    /// Has something done on the thread, in the order of the calls.
    public func post(_ work: @escaping @Sendable () -> Void) {
        let wake = inbox.withLock { inbox in
            inbox.work.append(work)
            defer { inbox.isWaiting = false }
            return inbox.isWaiting
        }
        if wake { io?.interrupt() }
    }

    /// Has something done on the thread and waits for it. Not to be called on the thread.
    public func sync<Value: Sendable>(_ work: @escaping @Sendable () -> Value) -> Value {
        precondition(!isCurrent, "\(name) would wait for itself")
        let done = DispatchSemaphore(value: 0)
        let result = Mutex<Value?>(nil)
        post {
            let value = work()
            result.withLock { $0 = value }
            done.signal()
        }
        done.wait()
        guard let value = result.withLock({ $0 }) else { preconditionFailure("work was done without a result") }
        return value
    }

    /// Ends the thread, when what was posted before is done. Nothing may be under way.
    public func stop() {
        post { [self] in inbox.withLock { $0.isStopping = true } }
        ended.wait()
    }

    // MARK: Transfers

    /// Starts a transfer.
    public func start(_ transfer: DeviceIO, on device: BlockDevice) {
        let operation = IOOperation(
            transfer.kind, attach(device), offset: transfer.offset, length: transfer.length, memory: transfer.memory,
            isFUA: transfer.isFUA && transfer.kind == .write)
        start(operation, transfer)
    }

    /// Waits until a descriptor can be read from (`pollIn`) or written to (`pollOut`), or its other side has gone; then
    /// ends `transfer`. The descriptor may be closed only after that: shutdown(2) makes it happen.
    public func poll(_ kind: IOOperation.Kind, _ descriptor: FileDescriptor, _ transfer: DeviceIO) {
        precondition(kind == .pollIn || kind == .pollOut, "a poll for \(kind)")
        start(IOOperation(kind, AttachedDevice(descriptor: descriptor.rawValue, slot: -1)), transfer)
    }

    private func start(_ operation: IOOperation, _ transfer: DeviceIO) {
        let token = UInt64(UInt(bitPattern: Unmanaged.passRetained(transfer).toOpaque()))
        io?.start(operation, token: token)
    }

    private func attach(_ device: BlockDevice) -> AttachedDevice {
        if let known = attached[device.id] { return known }
        guard let io else { preconditionFailure("\(name) has ended") }
        let new = io.attach(device)
        attached[device.id] = new
        device.onClose { id in self.detach(id) }
        return new
    }

    /// Forgets a device before the caller goes on.
    private func detach(_ id: UInt64) {
        if isCurrent {
            forget(id)
        } else {
            sync { self.forget(id) }
        }
    }

    private func forget(_ id: UInt64) {
        if let gone = attached.removeValue(forKey: id) { io?.detach(gone) }
    }

    /// Makes memory known to the ring: what transfers name as its slot.
    func attach(_ memory: PageMemory) -> Int32 { io?.attach(memory) ?? -1 }
    /// Forgets memory.
    func detach(memorySlot: Int32) { io?.detach(memorySlot: memorySlot) }

    // MARK: Time

    /// Nanoseconds on a clock that only goes forward.
    public var now: UInt64 { DispatchTime.now().uptimeNanoseconds }

    /// Has something done after a time, unless it is cancelled before. Answers a number to cancel it by.
    @discardableResult
    public func after(nanoseconds: UInt64, _ work: @escaping () -> Void) -> UInt64 {
        lastTimer += 1
        let timer = Timer(due: now &+ nanoseconds, id: lastTimer, work: work)
        let place = timers.firstIndex { $0.due < timer.due } ?? timers.endIndex
        timers.insert(timer, at: place)
        return timer.id
    }

    /// Drops what `after` was asked for; nothing, if it is done already.
    public func cancel(timer id: UInt64) {
        timers.removeAll { $0.id == id }
    }

    /// Has something done when all ends that have come were told: the time to answer many requests at once.
    public func afterBatch(_ work: @escaping () -> Void) {
        afterBatch.append(work)
    }

    // MARK: The loop

    private func run() {
        guard let io else { return }
        // Before a wait without an end; the bell ends it.
        let longest: UInt64 = 60_000_000_000
        while true {
            let isIdle = !takeInbox()
            runTimers()
            runAfterBatch()
            if inbox.withLock({ $0.isStopping }) { break }
            let mayWait =
                isIdle
                && inbox.withLock { inbox in
                    inbox.isWaiting = inbox.work.isEmpty
                    return inbox.isWaiting
                }
            guard mayWait else {
                io.submit()
                _ = io.take()
                continue
            }
            let time = timers.last.map { $0.due > now ? $0.due - now : 0 } ?? longest
            _ = io.wait(count: 1, nanoseconds: min(time, longest))
            inbox.withLock { $0.isWaiting = false }
        }
        finish()
    }

    private func finish() {
        memory.release()
        guard let io else { return }
        for device in attached.values { io.detach(device) }
        attached = [:]
        io.shutdown()
        self.io = nil
        thread.withLock { $0 = nil }
    }

    /// Does what was posted; false where there was nothing.
    private func takeInbox() -> Bool {
        let work = inbox.withLock { inbox in
            var taken: [@Sendable () -> Void] = []
            swap(&taken, &inbox.work)
            return taken
        }
        for item in work { item() }
        return !work.isEmpty
    }

    private func runTimers() {
        guard !timers.isEmpty else { return }
        let time = now
        while let next = timers.last, next.due <= time {
            timers.removeLast()
            next.work()
        }
    }

    private func runAfterBatch() {
        while !afterBatch.isEmpty {
            var work: [() -> Void] = []
            swap(&work, &afterBatch)
            for item in work { item() }
        }
    }
}

/// Tells transfers that they have ended.
private final class TransferEnds: IOQueueClient {
    func operationEnded(token: UInt64, errno: Int32) {
        guard let pointer = UnsafeRawPointer(bitPattern: UInt(token)) else { preconditionFailure("an end of nothing") }
        let transfer = Unmanaged<DeviceIO>.fromOpaque(pointer).takeRetainedValue()
        transfer.errno = errno
        transfer.ended(transfer)
    }

    func batchEnded() {}
    func ready() {}
}
