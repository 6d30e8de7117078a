import Dispatch
import Glibc
import Testing

@testable import BlockIO

/// The engines that tests run on.
enum EngineKind: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case uring
    case blocking

    var testDescription: String { rawValue }

    /// Whether this machine lets us use io_uring.
    static let ringIsPossible: Bool = {
        let queue = DispatchQueue(label: "probe")
        return queue.sync {
            guard let engine = try? RingEngine(queue: queue) else { return false }
            engine.shutdown()
            return true
        }
    }()

    /// Those that this machine has.
    static var available: [EngineKind] { ringIsPossible ? allCases : [.blocking] }

    func make(_ queue: DispatchQueue) throws(BlockError) -> any IOEngine {
        switch self {
        case .uring: try RingEngine(queue: queue)
        case .blocking: BlockingEngine(queue: queue)
        }
    }
}

/// Runs operations on an engine of its own and collects how they ended.
final class EngineDriver: IOQueueClient, @unchecked Sendable {  // all state belongs to `queue`
    let queue = DispatchQueue(label: "io.ucopyd.tests.engine")
    let io: IOQueue
    private let kind: EngineKind
    private var ends: [UInt64: Int32] = [:]
    private var expected = 0
    private var continuation: CheckedContinuation<[Int32], Never>?

    init(_ kind: EngineKind) throws {
        self.kind = kind
        io = IOQueue(engine: try kind.make(queue))
        io.client = self
    }

    func shutdown() { queue.sync { io.shutdown() } }

    /// Calls something where calls to the engine belong.
    func onQueue<Result>(_ body: (IOQueue) throws -> Result) rethrows -> Result { try queue.sync { try body(io) } }

    /// Starts operations and waits for their ends: their error numbers, by token from 0.
    func perform(count: Int, _ start: @escaping @Sendable (IOQueue) -> Void) async -> [Int32] {
        await withCheckedContinuation { continuation in
            queue.async { [self] in
                ends = [:]
                expected = count
                self.continuation = continuation
                start(io)
                io.submit()
                finish()
            }
        }
    }

    func operationEnded(token: UInt64, errno: Int32) {
        #expect(ends.updateValue(errno, forKey: token) == nil, "operation \(token) ended twice")
    }

    func batchEnded() {
        // What a short transfer has left is started again.
        io.submit()
    }

    func ready() {
        while io.take() {}
        finish()
    }

    private func finish() {
        guard ends.count == expected, let continuation else { return }
        self.continuation = nil
        continuation.resume(returning: (0..<UInt64(expected)).map { ends[$0] ?? -1 })
    }
}
