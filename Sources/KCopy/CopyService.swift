public import BlockIO
import Dispatch
import Glibc
import Synchronization

/// The copy service: lanes, each with its own queue and its own engine, among which clients are dealt out.
public final class CopyService: Sendable {
    private let lanes: [Lane]
    private let turn = Atomic<Int>(0)

    /// The engine that the lanes use: "uring" or "blocking".
    public let engineName: String
    /// Why it is not io_uring, where `auto` could not have that.
    public let ringRefusal: BlockError?

    /// Starts the lanes.
    /// - Parameters:
    ///   - engine: `auto` takes io_uring where the kernel allows it.
    ///   - lanes: how many; nil for one for every two processors, at most four.
    /// - Throws: what io_uring_setup(2) answered where `uring` was asked for; ENOMEM.
    public init(engine: EngineChoice = .auto, lanes: Int? = nil) throws(BlockError) {
        let count = lanes ?? min(max(sysconf(Int32(_SC_NPROCESSORS_ONLN)) / 2, 1), 4)
        precondition(count > 0, "\(count) lanes")
        let first = try Lane(engine: engine)
        engineName = first.engineName
        ringRefusal = first.ringRefusal
        var all = [first]
        // All of one kind. That there are fewer than wanted costs speed only.
        let kind = EngineChoice(rawValue: first.engineName) ?? engine
        while all.count < count, let lane = try? Lane(engine: kind) { all.append(lane) }
        self.lanes = all
    }

    /// A service of one lane whose engine the caller makes: one that injects faults, or notes what it is asked for.
    init(engine: (DispatchQueue) throws(BlockError) -> any IOEngine) throws(BlockError) {
        let queue = Lane.makeQueue()
        let lane = Lane(queue: queue, engine: try engine(queue), name: "custom")
        engineName = lane.engineName
        ringRefusal = nil
        lanes = [lane]
    }

    /// Ends the lanes. Every client has to be destroyed before.
    public func shutdown() {
        for lane in lanes { lane.shutdown() }
    }

    /// Calls back when every lane has answered: proof that none is stuck.
    public func ping(_ answer: @escaping @Sendable () -> Void) {
        let counter = AnswerCounter(lanes.count, answer)
        for lane in lanes { lane.post(.ping { counter.count() }) }
    }

    func nextLane() -> Lane {
        lanes[turn.add(1, ordering: .relaxed).oldValue % lanes.count]
    }
}

/// Counts the answers of lanes.
private final class AnswerCounter: Sendable {
    private let left: Atomic<Int>
    private let answer: @Sendable () -> Void

    init(_ count: Int, _ answer: @escaping @Sendable () -> Void) {
        left = Atomic(count)
        self.answer = answer
    }

    func count() {
        if left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { answer() }
    }
}
