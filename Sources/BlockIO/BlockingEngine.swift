import CLinux
import DequeModule
public import Dispatch
import Glibc
import SystemPackage

/// I/O with blocking system calls, for machines where io_uring is forbidden: a fixed number of serial
/// queues, one call at a time on each. All state belongs to the lane's queue.
public final class BlockingEngine: IOEngine {
    /// Calls under way at once.
    private static let workers = 16

    private struct Work: @unchecked Sendable {  // goes to one worker, which alone touches its memory until it answers
        var operation: IOOperation
        var tag: UInt64
    }

    private let queue: DispatchQueue
    private var idle: [DispatchQueue]
    private var waiting: Deque<[Work]> = []
    private var chain: [Work] = []

    public let depth = BlockingEngine.workers * 4
    public var onCompletions: ((UnsafeBufferPointer<RawCompletion>) -> Void)?
    public var onReady: (() -> Void)?
    private var completions: [RawCompletion] = []

    /// An engine for the lane that runs on `queue`.
    public init(queue: DispatchQueue) {
        self.queue = queue
        idle = (0..<Self.workers).map { DispatchQueue(label: "io.ucopyd.blocking.\($0)") }
    }

    public func attach(_ device: BlockDevice) -> AttachedDevice {
        AttachedDevice(descriptor: device.descriptor.rawValue, slot: -1)
    }

    public func detach(_ device: AttachedDevice) {}
    public func attach(_ memory: PageMemory) -> Int32 { -1 }
    public func detach(memorySlot: Int32) {}
    public func shutdown() {}

    public func prepare(_ operation: IOOperation, tag: UInt64, linked: Bool) {
        chain.append(Work(operation: operation, tag: tag))
        guard !linked else { return }
        waiting.append(chain)
        chain.removeAll()
    }

    public func submit() {
        while let worker = idle.last, let next = waiting.popFirst() {
            idle.removeLast()
            run(next, on: worker)
        }
    }

    private func run(_ chain: [Work], on worker: DispatchQueue) {
        nonisolated(unsafe) let engine = self  // only handed back to the lane's queue, where it belongs
        let queue = self.queue
        worker.async {
            let results = Self.execute(chain)
            queue.async { engine.finish(results, worker) }
        }
    }

    private func finish(_ results: [RawCompletion], _ worker: DispatchQueue) {
        idle.append(worker)
        completions.append(contentsOf: results)
        submit()
        onReady?()
    }

    public func takeCompletions() -> Bool {
        guard !completions.isEmpty else { return false }
        let batch = completions
        completions = []
        batch.withUnsafeBufferPointer { onCompletions?($0) }
        return true
    }

    /// The answers come through the lane's queue: it cannot be blocked to wait for them.
    public func wait(count: Int, nanoseconds: UInt64) -> Bool {
        submit()
        return false
    }

    public func interrupt() {}

    /// Runs a chain in order; what follows an operation that did not succeed in full is cancelled.
    private static func execute(_ chain: [Work]) -> [RawCompletion] {
        var broken = false
        return chain.map { work in
            if broken { return RawCompletion(tag: work.tag, result: -ECANCELED) }
            let result = execute(work.operation)
            broken = result < 0 || Int(result) < work.operation.transferLength
            return RawCompletion(tag: work.tag, result: result)
        }
    }

    static func execute(_ operation: IOOperation) -> Int32 {
        let fd = operation.device.descriptor
        let address = operation.memory?.address
        let offset = off_t(operation.offset)
        switch operation.kind {
        case .read: return answer(pread(fd, address, operation.length, offset))
        case .write:
            let flags = operation.isFUA ? clinux_rwf_dsync : 0
            return Int32(clamping: clinux_pwrite(fd, address, operation.length, offset, flags))
        case .writeZeroes, .discard:
            return clinux_fallocate(fd, clinux_falloc_punch, offset, off_t(operation.length))
        case .flush: return answer(Int(fsync(fd)))
        case .pollIn, .pollOut: return -EOPNOTSUPP
        }
    }

    static func answer(_ result: Int) -> Int32 { result < 0 ? -errno : Int32(truncatingIfNeeded: result) }
}

extension IOOperation {
    /// The bytes that the system reports for a whole transfer: none for operations without data.
    var transferLength: Int { memory == nil ? 0 : length }
}
