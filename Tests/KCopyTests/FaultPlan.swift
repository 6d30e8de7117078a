import BlockIO
import Synchronization

/// An operation that the copy service has asked its engine for.
struct Access: Hashable, Sendable {
    var kind: IOOperation.Kind
    /// The path of the device.
    var path: String
    /// Where it begins and how long it is, in bytes.
    var offset: Int
    var length: Int

    var range: Range<Int> { offset..<offset + length }
}

/// What becomes of an operation instead of what was asked for.
enum Fault: Hashable, Sendable {
    /// It fails without having been started.
    case error(Int32)
    /// Only so many bytes of it are done.
    case short(Int)
    /// It succeeds, and a bit of what was read is another.
    case corrupt
    /// It is not started before the plan's `release()`.
    case held
}

/// What a `FaultEngine` does, and what it was asked for. Usable from any thread.
final class FaultPlan: Sendable {
    typealias Rule = @Sendable (Access) -> Fault?

    private struct Waiter {
        var isDone: ([Access]) -> Bool
        var continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        var rule: Rule = { _ in nil }
        var log: [Access] = []
        var waiters: [Waiter] = []
        var release: (@Sendable () -> Void)?
    }
    private let state = Mutex(State())

    init(_ rule: @escaping Rule = { _ in nil }) { state.withLock { $0.rule = rule } }

    /// What was asked for, in order.
    var log: [Access] { state.withLock { $0.log } }
    var writes: [Access] { log.filter { $0.kind == .write } }
    var reads: [Access] { log.filter { $0.kind == .read } }

    /// Another rule from now on.
    func set(_ rule: @escaping Rule) { state.withLock { $0.rule = rule } }

    /// Starts what is held. The rule does not see it again.
    func release() { state.withLock { $0.release }?() }

    /// No faults from now on, and what is held is started.
    func heal() {
        set { _ in nil }
        release()
    }

    /// Waits until the log is as wanted.
    func until(_ isDone: @escaping @Sendable ([Access]) -> Bool) async {
        await withCheckedContinuation { continuation in
            let done = state.withLock { state in
                if isDone(state.log) { return true }
                state.waiters.append(Waiter(isDone: isDone, continuation: continuation))
                return false
            }
            if done { continuation.resume() }
        }
    }

    /// Waits until so many operations of a kind were asked for.
    func until(_ kind: IOOperation.Kind, count: Int) async {
        await until { $0.count { $0.kind == kind } >= count }
    }

    /// Called by the engine.
    func note(_ access: Access) -> Fault? {
        let (fault, ready) = state.withLock { state in
            state.log.append(access)
            let log = state.log
            let ready = state.waiters.filter { $0.isDone(log) }.map(\.continuation)
            if !ready.isEmpty { state.waiters.removeAll { $0.isDone(log) } }
            return (state.rule(access), ready)
        }
        for continuation in ready { continuation.resume() }
        return fault
    }

    /// Called by the engine.
    func setRelease(_ release: @escaping @Sendable () -> Void) { state.withLock { $0.release = release } }
}
