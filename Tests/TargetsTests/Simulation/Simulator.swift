import KCopy
import Targets
import TestSupport

/// A queue thread that does not exist: everything that is under way is a list, and a seed says what ends next.
///
/// Nothing happens but inside `step`, `run`, `settle` and `perform`, all of them on the test's own thread.
final class Simulator: TargetEnvironment {
    /// Something that is under way.
    private struct Outstanding {
        let number: Int
        let what: String
        let isHeld: () -> Bool
        let work: () -> Void
    }

    private struct Timer {
        let number: UInt64
        let due: UInt64
        let work: () -> Void
    }

    /// Nothing can happen any more, or too much has, and what was waited for has not come.
    struct Hang: Error, CustomStringConvertible {
        let description: String
    }

    /// What decides about order.
    var numbers: SeededNumbers
    /// The virtual clock, in nanoseconds.
    private(set) var now: UInt64 = 0
    /// What the disks were asked for, in order.
    let recording = Recording()
    /// The sectors that the next copiers cut their copies into at most; nil for a random number for each copy.
    var pieceSectors: UInt64?
    /// Copiers that have not been destroyed.
    private(set) var copiers = 0
    /// Faults in the use of the seams, such as memory that was changed while a device had it.
    private(set) var violations: [String] = []
    /// The error of the next `makeCopier`.
    var copierError: TargetError?

    private var outstanding: [Outstanding] = []
    private var timers: [Timer] = []
    private var laterWork: [() -> Void] = []
    private var batchWork: [() -> Void] = []
    private var lastNumber = 0
    private var lastTimer: UInt64 = 0
    private var isInside = false

    init(seed: UInt64) { numbers = SeededNumbers(seed) }

    // MARK: What targets ask for

    func makeCopier(pages: Int, name: String, priority: CopyPriority) throws(TargetError) -> any ChunkCopier {
        if let error = copierError {
            copierError = nil
            throw error
        }
        copiers += 1
        return SimulatedCopier(simulator: self, pages: pages)
    }

    func copierEnded() { copiers -= 1 }

    func detached<Value: Sendable>(
        _ work: @escaping @Sendable () -> Result<Value, TargetError>,
        then: @escaping (Result<Value, TargetError>) -> Void
    ) {
        submit("work on another thread") { [unowned self] in
            let result = work()
            submit("the result of work on another thread") { then(result) }
        }
    }

    func after(nanoseconds: UInt64, _ work: @escaping () -> Void) -> UInt64 {
        lastTimer += 1
        timers.append(Timer(number: lastTimer, due: now + nanoseconds, work: work))
        return lastTimer
    }

    func cancel(timer: UInt64) { timers.removeAll { $0.number == timer } }
    func afterBatch(_ work: @escaping () -> Void) { batchWork.append(work) }
    func later(_ work: @escaping () -> Void) { laterWork.append(work) }

    // MARK: What the simulated devices ask for

    /// Something that ends at some step from now on.
    func submit(_ what: String, isHeld: @escaping () -> Bool = { false }, _ work: @escaping () -> Void) {
        lastNumber += 1
        outstanding.append(Outstanding(number: lastNumber, what: what, isHeld: isHeld, work: work))
    }

    /// Notes something that must not happen.
    func violation(_ text: String) { violations.append(text) }

    func random(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &numbers) }
    func random(_ range: ClosedRange<UInt64>) -> UInt64 { UInt64.random(in: range, using: &numbers) }
    /// True once in `times`, on average.
    func chance(_ times: Int) -> Bool { Int.random(in: 0..<times, using: &numbers) == 0 }

    // MARK: What tests ask for

    /// What is under way, for messages.
    var underWay: [String] { outstanding.map { $0.isHeld() ? "\($0.what) (held)" : $0.what } }

    /// Does something on the thread, as a batch of its own. Inside of another batch it becomes a part of that.
    func perform(_ work: () -> Void) {
        if isInside {
            work()
            return
        }
        isInside = true
        work()
        drain()
        endBatch()
        isInside = false
    }

    /// Lets some of what is under way end, or the clock go on.
    /// - Returns: false where nothing could happen.
    func step() -> Bool {
        let candidates = outstanding.indices.filter { !outstanding[$0].isHeld() }
        guard !candidates.isEmpty else {
            guard let next = timers.map(\.due).min() else { return false }
            fireTimers(at: max(next, now))
            return true
        }
        let most = chance(3) ? min(6, candidates.count) : 1
        let chosen = candidates.shuffled(using: &numbers).prefix(random(1...most))
        let works = chosen.map { outstanding[$0] }
        let taken = Set(chosen)
        outstanding = outstanding.enumerated().filter { !taken.contains($0.offset) }.map(\.element)
        now += random(UInt64(1)...50_000)
        perform {
            for one in works {
                one.work()
                drain()
            }
        }
        fireTimers(at: now)
        return true
    }

    /// Goes on until something is the case.
    /// - Throws: `Hang` where it cannot become the case, or has not after so many steps.
    func run(limit: Int = 200_000, until condition: () -> Bool) throws(Hang) {
        for _ in 0..<limit {
            if condition() { return }
            if !step() {
                if condition() { return }
                throw Hang(description: "nothing happens any more; under way: \(underWay)")
            }
        }
        throw Hang(
            description: "\(limit) steps were not enough; under way: \(underWay.prefix(20)), timers: \(timers.count)")
    }

    /// Goes on until nothing happens any more.
    func settle(limit: Int = 200_000) throws(Hang) {
        for _ in 0..<limit where !step() { return }
        throw Hang(
            description: "\(limit) steps were not enough; under way: \(underWay.prefix(20)), timers: \(timers.count)")
    }

    private func fireTimers(at time: UInt64) {
        now = time
        while let due = timers.filter({ $0.due <= now }).min(by: { ($0.due, $0.number) < ($1.due, $1.number) }) {
            timers.removeAll { $0.number == due.number }
            perform(due.work)
        }
    }

    private func drain() {
        while !laterWork.isEmpty {
            let works = laterWork
            laterWork = []
            for work in works { work() }
        }
    }

    private func endBatch() {
        while !batchWork.isEmpty {
            let works = batchWork
            batchWork = []
            for work in works {
                work()
                drain()
            }
        }
    }
}
