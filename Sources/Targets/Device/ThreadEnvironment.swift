public import BlockIO
import Dispatch
public import KCopy

/// A real queue thread and the copy service, for targets.
public final class ThreadEnvironment: TargetEnvironment {
    /// Where everything is done that blocks.
    static let blocking = DispatchQueue(label: "io.ucopyd.targets.blocking", attributes: .concurrent)

    private let thread: QueueThread
    private let service: CopyService

    /// For the targets of a thread.
    public init(thread: QueueThread, service: CopyService) {
        self.thread = thread
        self.service = service
    }

    public func makeCopier(
        pages: Int, name: String, priority: CopyPriority
    ) throws(TargetError) -> any ChunkCopier {
        do throws(CopyError) {
            let client = try CopyClient(
                service: service, pages: pages, name: name, priority: priority, completions: .onLane)
            return ServiceCopier(client, thread: thread)
        } catch {
            throw TargetError(error.object, "set \(pages) pages aside", error.errno, error.reason)
        }
    }

    public func detached<Value: Sendable>(
        _ work: @escaping @Sendable () -> Result<Value, TargetError>,
        then: @escaping (Result<Value, TargetError>) -> Void
    ) {
        let then = ThreadBound(then, to: thread)
        Self.blocking.async {
            let result = work()
            then.post { $0(result) }
        }
    }

    public func after(nanoseconds: UInt64, _ work: @escaping () -> Void) -> UInt64 {
        thread.after(nanoseconds: nanoseconds, work)
    }

    public func cancel(timer: UInt64) { thread.cancel(timer: timer) }
    public func afterBatch(_ work: @escaping () -> Void) { thread.afterBatch(work) }
    public func later(_ work: @escaping () -> Void) { thread.afterBatch(work) }
}

extension TargetHost {
    /// A host on a real thread.
    public convenience init(thread: QueueThread, service: CopyService) {
        self.init(environment: ThreadEnvironment(thread: thread, service: service))
    }
}
