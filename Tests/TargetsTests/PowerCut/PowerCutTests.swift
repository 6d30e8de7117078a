import Glibc
import TestSupport
import Testing

@testable import Targets

@Suite("A power cut at any moment")
struct PowerCutTests {
    private typealias Step = SnapshotProgram.Step

    private static let seconds = getenv("UCOPYD_MODEL_SECONDS").flatMap { Double(String(cString: $0)) } ?? 0
    private static let first = getenv("UCOPYD_MODEL_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1

    /// What happens while everything is recorded.
    private enum Kind: CaseIterable {
        /// Writes to snapshots with room enough.
        case writes
        /// Writes to snapshots that become full.
        case overflow
        /// A snapshot is being merged.
        case merge
        /// A snapshot is taken.
        case new
    }

    /// Programs of writes.
    private func program(_ seed: UInt64, _ kind: Kind) -> (setup: [Step], window: [Step], world: SnapshotProgram.World)
    {
        var numbers = SeededNumbers(seed)
        func pick<T>(_ values: [T]) -> T { values[Int.random(in: 0..<values.count, using: &numbers)] }
        // With the largest, a commit of chunks of 8 sectors may fill more than one sector of an area.
        let sectors: UInt64 = pick([70, 96, 130, 420])
        let world = SnapshotProgram.World(
            originSectors: sectors, lineSectors: sectors, block: 1, canDiscard: true, overlaps: pick([false, true]))
        func write(_ devices: [Int]) -> Step {
            .write(
                device: pick(devices), sector: UInt64.random(in: 0..<sectors, using: &numbers),
                count: pick([1, 3, 8, 16, 33, sectors / 2]), isFUA: pick([false, false, true]))
        }
        func wish() -> SnapshotProgram.Wish {
            let chunk: UInt64 = pick(sectors > 200 ? [8, 8, 1] : [1, 1, 8, 16])
            // Room for everything twice: chunks that had no slot yet when the power was cut stay holes.
            let all = 2 * sectors / chunk
            let chunks = kind == .overflow ? pick([4, 7, 12]) : all + 8 + all / (chunk * 32)
            return SnapshotProgram.Wish(
                chunk: chunk, store: pick(["P", "PO"]), features: [], excess: 0, storeChunks: chunks, policy: nil)
        }
        var setup: [Step] = []
        let slots = kind == .merge ? [1, 2] : pick([[1], [1, 2]])
        for slot in slots {
            setup.append(.take(slot: slot, wish()))
            let most = kind == .overflow ? 2 : 6
            for _ in 0..<Int.random(in: 0..<most, using: &numbers) { setup.append(write([0, 0, slot])) }
        }
        if kind == .merge { for _ in 0..<6 { setup.append(write([1])) } }
        var window: [Step] = []
        if kind == .new { window.append(.take(slot: 3, wish())) }
        for _ in 0..<Int.random(in: 6..<30, using: &numbers) {
            switch Int.random(in: 0..<10, using: &numbers) {
            case 0..<5: window.append(write([0, 0] + slots))
            case 5: window.append(.flush(device: pick([0] + slots)))
            default: window.append(.wait(Int.random(in: 1..<15, using: &numbers)))
            }
        }
        return (setup, window, world)
    }

    private func check(_ seed: UInt64, _ kind: Kind) throws {
        let (setup, window, world) = program(seed, kind)
        let cut = try PowerCutRun(SnapshotProgram(seed: seed, world: world, steps: setup))
        cut.mayRunFull = kind == .overflow
        for step in setup { try cut.run.perform(step) }
        try cut.begin()
        if kind == .merge { try cut.merge(1) }
        for step in window {
            if case .take(let slot, let wish) = step { try cut.take(slot, wish) } else { try cut.run.perform(step) }
        }
        if seed % 3 == 0 { try cut.run.simulator.settle() }
        var numbers = SeededNumbers(seed &* 7)
        let moments = Array(cut.first...cut.recording.moment + 1)
        for moment in moments.shuffled(using: &numbers).prefix(50) {
            let style = CutStyle.allCases.randomElement(using: &numbers) ?? .some
            try cut.check(cutBefore: moment, style: style, constructs: Int.random(in: 0..<8, using: &numbers) == 0)
        }
    }

    private func checkAll(_ count: UInt64, _ kind: Kind) {
        let clock = ContinuousClock()
        let end = clock.now + .seconds(Self.seconds)
        var seed = Self.first
        while seed < Self.first + count || clock.now < end {
            do { try check(seed, kind) } catch {
                let (setup, window, world) = program(seed, kind)
                Issue.record("seed \(seed), \(world)\nsetup \(setup)\nwindow \(window)\n\(error)")
                return
            }
            seed += 1
        }
    }

    @Test("loses nothing that was made durable, and shows no snapshot what was written to the origin later")
    func writes() { checkAll(20, .writes) }

    @Test("never leaves a snapshot that seems valid where a full store has made it invalid")
    func overflow() { checkAll(20, .overflow) }

    @Test("during a merge leaves the snapshot's content, whatever part of it has been merged")
    func merges() { checkAll(20, .merge) }

    @Test("while a new store is made leaves one that is blank or has no exceptions")
    func news() { checkAll(20, .new) }
}
