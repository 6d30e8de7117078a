import Glibc
import TestSupport
import Testing

/// Drops steps of a program as long as it still fails.
private struct Shrinker {
    /// Orders of completions that are tried with each shorter program.
    var schedules: ClosedRange<UInt64> = 0...3

    /// How a program fails; nil where it does not.
    func failure(_ program: SnapshotProgram, schedules: ClosedRange<UInt64>) -> String? {
        for schedule in schedules {
            do {
                try SnapshotRun(program, schedule: schedule).run(program)
            } catch { return "schedule \(schedule): \(error)" }
        }
        return nil
    }

    /// The shortest program found, and how it fails.
    func shrink(_ program: SnapshotProgram, _ reason: String) -> (SnapshotProgram, String) {
        var best = (program, reason)
        var length = program.steps.count / 2
        var tries = 0
        while length > 0 {
            var start = 0
            while start < best.0.steps.count, tries < 600 {
                tries += 1
                var shorter = best.0
                shorter.steps.removeSubrange(start..<min(start + length, shorter.steps.count))
                if let reason = failure(shorter, schedules: schedules) {
                    best = (shorter, reason)
                } else {
                    start += length
                }
            }
            length /= 2
        }
        return best
    }
}

@Suite("Random programs for an origin and its snapshots")
struct SnapshotModelTests {
    /// How long to go on, beyond what every run does: UCOPYD_MODEL_SECONDS.
    private static let seconds = getenv("UCOPYD_MODEL_SECONDS").flatMap { Double(String(cString: $0)) } ?? 0
    private static let first = getenv("UCOPYD_MODEL_SEED").flatMap { UInt64(String(cString: $0)) } ?? 1

    private static let traces = getenv("UCOPYD_MODEL_TRACE") != nil

    @Test("leave on every device, and say in every status, what a model of them does")
    func random() throws {
        let shrinker = Shrinker()
        var seed = Self.first
        let clock = ContinuousClock()
        let end = clock.now + .seconds(Self.seconds)
        while seed < Self.first + 60 || clock.now < end {
            if Self.traces { print("seed \(seed)") }
            let program = SnapshotProgram(seed: seed, steps: 100)
            if let reason = shrinker.failure(program, schedules: 0...0) {
                let (short, why) = shrinker.shrink(program, reason)
                Issue.record(
                    "\(why)\nshrunk from \(program.steps.count) to \(short.steps.count) steps: \(short)\nat first: \(reason)"
                )
                return
            }
            seed += 1
        }
    }
}
