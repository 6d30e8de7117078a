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

    // MARK: Memory

    @Test("a million random exceptions, inserted one by one, take at most 24 bytes each at every moment")
    func memoryOfInsertions() {
        var numbers = SeededNumbers(3)
        let table = ExceptionTable()
        while table.count < 1_000_000 {
            let chunk = numbers.next() >> 8
            if table.lookup(chunk) == nil { table.insert(old: chunk, new: numbers.next() >> 8) }
            if table.count % 100_000 == 0 { #expect(table.memoryBytes <= 24 * Int(table.count)) }
        }
    }

    @Test("sequential exceptions take a few hundred bytes, a million of them, forwards and backwards")
    func memoryOfRuns() {
        let forwards = ExceptionTable()
        for chunk in 0..<1_000_000 as Range<UInt64> { forwards.insert(old: chunk, new: chunk + 2) }
        #expect(forwards.memoryBytes < 1000 && forwards.count == 1_000_000)
        let backwards = ExceptionTable()
        for chunk in (0..<100_000 as Range<UInt64>).reversed() { backwards.insert(old: chunk, new: chunk + 2) }
        #expect(backwards.memoryBytes < 1000 && backwards.runCount == 4)
    }

    @Test("a length is the rest of the run, or of the gap up to a limit")
    func lengths() {
        let table = ExceptionTable()
        for chunk in 100..<110 as Range<UInt64> { table.insert(old: chunk, new: chunk + 5) }
        let found = table.lookup(103)
        #expect(found?.newChunk == 108 && found?.length == 7)
        #expect(table.lookup(110) == nil)
        #expect(table.unmappedLength(from: 90, limit: 100) == 10)
        #expect(table.unmappedLength(from: 90, limit: 4) == 4)
        #expect(table.unmappedLength(from: 110, limit: 4) == 4)
        #expect(table.unmappedLength(from: 105, limit: 4) == 0)
        #expect(table.run(atOrAfter: 105) == ExceptionRun(old: 105, new: 110, length: 5))
        #expect(table.run(atOrAfter: 0) == ExceptionRun(old: 100, new: 105, length: 10))
        #expect(table.run(atOrAfter: 110) == nil)
        #expect(table.remove(old: 105) && table.runCount == 2 && !table.remove(old: 105))
        #expect(table.lookup(104)?.length == 1 && table.lookup(106)?.newChunk == 111)
        table.insert(old: 105, new: 110)
        #expect(table.runCount == 1, "the gap is filled, the runs are one again")
    }
}
