import CURing
import DequeModule
import Dispatch
import Glibc
import Synchronization
import SystemPackage

/// The blocking engine of a queue thread, for machines where io_uring is forbidden: transfers are done by a fixed number of
/// workers, one call at a time on each, and the thread waits in poll(2) for them and for descriptors.
///
/// Everything but `interrupt()` is called on the thread that it belongs to.
final class ThreadedEngine: IOEngine {
    private static let workers = 16

    /// What workers have done, until the thread takes it.
    private final class Results: Sendable {
        let list = Mutex<[(DispatchQueue, RawCompletion)]>([])
    }

    private struct Work: @unchecked Sendable {  // goes to one worker, which alone touches its memory until it answers
        var operation: IOOperation
        var tag: UInt64
    }

    private let bell: FileDescriptor
    private var idle: [DispatchQueue]
    private var waiting: Deque<Work> = []
    private let results = Results()
    /// What poll(2) is asked, the bell first, and the tag of everyone who waits.
    private var polled: [pollfd]
    private var pollers: [UInt64] = [0]
    private var completions: [RawCompletion] = []

    let depth = ThreadedEngine.workers * 4
    var onCompletions: ((UnsafeBufferPointer<RawCompletion>) -> Void)?
    var onReady: (() -> Void)?

    init() throws(BlockError) {
        let bell = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        guard bell >= 0 else { throw BlockError("eventfd", "set up", Errno(rawValue: errno)) }
        self.bell = FileDescriptor(rawValue: bell)
        polled = [pollfd(fd: bell, events: Int16(POLLIN), revents: 0)]
        idle = (0..<Self.workers).map { DispatchQueue(label: "io.ucopyd.thread.blocking.\($0)") }
    }

    func shutdown() { closeQuietly(bell) }

    func attach(_ device: BlockDevice) -> AttachedDevice {
        AttachedDevice(descriptor: device.descriptor.rawValue, slot: -1)
    }

    func detach(_ device: AttachedDevice) {}
    func attach(_ memory: PageMemory) -> Int32 { -1 }
    func detach(memorySlot: Int32) {}

    func prepare(_ operation: IOOperation, tag: UInt64, linked: Bool) {
        precondition(!linked, "a queue thread links no operations")
        switch operation.kind {
        case .pollIn, .pollOut:
            let events = Int16(operation.kind == .pollIn ? POLLIN : POLLOUT)
            polled.append(pollfd(fd: operation.device.descriptor, events: events, revents: 0))
            pollers.append(tag)
        case .read, .write, .writeZeroes, .discard, .flush: waiting.append(Work(operation: operation, tag: tag))
        }
    }

    func submit() {
        while let worker = idle.last, let next = waiting.popFirst() {
            idle.removeLast()
            let results = self.results
            let bell = self.bell
            worker.async {
                let result = BlockingEngine.execute(next.operation)
                results.list.withLock { $0.append((worker, RawCompletion(tag: next.tag, result: result))) }
                Self.ring(bell)
            }
        }
    }

    private static func ring(_ bell: FileDescriptor) {
        var one: UInt64 = 1
        // It fails only where the counter is full, and a full bell rings as well.
        _ = withUnsafeBytes(of: &one) { try? bell.write($0) }
    }

    func interrupt() { Self.ring(bell) }

    // MARK: Waiting

    func takeCompletions() -> Bool {
        let done = results.list.withLock { list in
            var taken: [(DispatchQueue, RawCompletion)] = []
            swap(&taken, &list)
            return taken
        }
        for (worker, completion) in done {
            idle.append(worker)
            completions.append(completion)
        }
        submit()
        guard !completions.isEmpty else { return false }
        let batch = completions
        completions = []
        batch.withUnsafeBufferPointer { onCompletions?($0) }
        return true
    }

    func wait(count: Int, nanoseconds: UInt64) -> Bool {
        submit()
        let milliseconds = completions.isEmpty ? Int32(clamping: (nanoseconds + 999_999) / 1_000_000) : 0
        if poll(&polled, nfds_t(polled.count), milliseconds) > 0 { takePolled() }
        return takeCompletions()
    }

    private func takePolled() {
        if polled[0].revents != 0 {
            var count: UInt64 = 0
            // Nobody else reads it; that it is empty (EAGAIN) after all does no harm.
            _ = withUnsafeMutableBytes(of: &count) { try? bell.read(into: $0) }
        }
        for index in polled.indices.dropFirst().reversed() where polled[index].revents != 0 {
            completions.append(RawCompletion(tag: pollers[index], result: Int32(polled[index].revents)))
            polled.remove(at: index)
            pollers.remove(at: index)
        }
    }
}
