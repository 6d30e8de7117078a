import TestSupport
import Testing

@testable import Targets

@Suite("The exception table")
struct ExceptionTableTests {
    /// The runs of a table, checked for order and overlaps.
    private func contents(of table: ExceptionTable) -> [UInt64: UInt64] {
        var pairs: [UInt64: UInt64] = [:]
        var end: UInt64 = 0
        table.forEachRun { run in
            #expect(run.length >= 1 && run.length <= ExceptionRun.longest)
            #expect(run.old >= end, "runs ascend and do not overlap")
            end = run.oldEnd
            for offset in 0..<run.length { pairs[run.old + offset] = run.new + offset }
        }
        return pairs
    }

    /// How the steps of a random test choose their chunks.
    enum Shape: CaseIterable, Sendable {
        /// Anywhere: every exception is a run of its own.
        case random
        /// In a small space, to the same place on the other side: long runs that grow together and are torn.
        case dense
        /// Mostly one behind the other.
        case sequential
    }

    @Test(
        "holds what a dictionary holds, whatever is inserted and removed", arguments: Shape.allCases,
        [1, 2] as [UInt64])
    func model(shape: Shape, seed: UInt64) {
        var numbers = SeededNumbers(seed)
        let table = ExceptionTable()
        var model: [UInt64: UInt64] = [:]
        var last: UInt64 = 0
        for step in 0..<40_000 {
            // Phases that grow and phases that shrink, so that nodes split and are joined.
            let grows = numbers.next() % 8 < (step / 5000 % 2 == 0 ? 7 : 1)
            let chunk: UInt64
            switch shape {
            case .random: chunk = grows ? numbers.next() >> 8 : model.randomElement(using: &numbers)?.key ?? 0
            case .dense: chunk = numbers.next() % 12_000
            case .sequential: chunk = numbers.next() % 16 == 0 ? numbers.next() % 30_000 : last + 1
            }
            last = chunk
            let place = shape == .random ? numbers.next() >> 8 : chunk + 7
            if let known = model[chunk] {
                #expect(table.lookup(chunk)?.newChunk == known)
                #expect(table.unmappedLength(from: chunk, limit: 100) == 0)
                if !grows { #expect(table.remove(old: chunk) && model.removeValue(forKey: chunk) != nil) }
            } else {
                #expect(table.lookup(chunk) == nil)
                if grows {
                    table.insert(old: chunk, new: place)
                    model[chunk] = place
                } else {
                    #expect(!table.remove(old: chunk))
                }
            }
            if step % 8192 == 0 { #expect(contents(of: table) == model) }
        }
        #expect(table.count == UInt64(model.count))
        #expect(contents(of: table) == model)
        for chunk in model.keys { #expect(table.remove(old: chunk)) }
        #expect(table.count == 0 && table.runCount == 0)
        #expect(table.memoryBytes < 1024, "an empty table is a small one")
    }
}
