/// Does small transfers of files in memory by plain calls on the calling thread, and hands everything else to the engine
/// below.
///
/// A file of tmpfs or ramfs is memory: a transfer is a copy and waits for no device, unless the system has to swap. The ring
/// has no way to do it without a possible wait, and hands it to a worker thread, which costs more than the copy.
/// Long transfers are handed on, so that they run beside the thread.
final class InMemoryEngine: IOEngine {
    /// The longest transfer that is done at once, in bytes: a few microseconds.
    private static let longest = 128 << 10
    /// How often calls are done before the engine below has its turn.
    private static let mostRounds = 8

    private struct Call {
        var operation: IOOperation
        var tag: UInt64
    }

    private let below: any IOEngine
    private var calls: [Call] = []
    private var running: [Call] = []
    private var completions: [RawCompletion] = []
    /// Whether the engine below has been given what another device could be doing.
    private var isSubmissionDue = false
    private var rounds = 0

    var depth: Int { below.depth }
    var onCompletions: ((UnsafeBufferPointer<RawCompletion>) -> Void)? {
        didSet { below.onCompletions = onCompletions }
    }
    var onReady: (() -> Void)? {
        didSet { below.onReady = onReady }
    }

    init(over below: any IOEngine) {
        self.below = below
    }

    func attach(_ device: BlockDevice) -> AttachedDevice {
        var attached = below.attach(device)
        attached.isInMemory = device.geometry.isInMemory
        return attached
    }

    func detach(_ device: AttachedDevice) { below.detach(device) }
    func attach(_ memory: PageMemory) -> Int32 { below.attach(memory) }
    func detach(memorySlot: Int32) { below.detach(memorySlot: memorySlot) }
    func interrupt() { below.interrupt() }
    func shutdown() { below.shutdown() }

    func prepare(_ operation: IOOperation, tag: UInt64, linked: Bool) {
        precondition(!linked, "a queue thread links no operations")
        if operation.device.isInMemory, operation.length <= Self.longest {
            calls.append(Call(operation: operation, tag: tag))
        } else {
            isSubmissionDue = isSubmissionDue || operation.kind != .pollIn && operation.kind != .pollOut
            below.prepare(operation, tag: tag, linked: false)
        }
    }

    func submit() {
        isSubmissionDue = false
        below.submit()
    }

    func takeCompletions() -> Bool {
        let some = run()
        return below.takeCompletions() || some
    }

    func wait(count: Int, nanoseconds: UInt64) -> Bool {
        guard !calls.isEmpty else {
            isSubmissionDue = false
            rounds = 0
            return below.wait(count: count, nanoseconds: nanoseconds)
        }
        if isSubmissionDue { submit() }
        let some = run()
        rounds += 1
        // What has ended below is found by waiting only, and calls may follow calls for a long time.
        return rounds % Self.mostRounds == 0 ? below.wait(count: 1, nanoseconds: 0) || some : some
    }

    /// Does the calls that have come.
    private func run() -> Bool {
        guard !calls.isEmpty else { return false }
        // Whoever is told starts new ones, for the next round.
        swap(&calls, &running)
        for call in running {
            completions.append(RawCompletion(tag: call.tag, result: BlockingEngine.execute(call.operation)))
        }
        running.removeAll(keepingCapacity: true)
        var ended: [RawCompletion] = []
        swap(&ended, &completions)
        ended.withUnsafeBufferPointer { onCompletions?($0) }
        ended.removeAll(keepingCapacity: true)
        swap(&ended, &completions)
        return true
    }
}
