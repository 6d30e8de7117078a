import BlockIO
import Testing

@testable import KCopy

@Suite("A page budget")
struct PageBudgetTests {
    @Test("gives out no page twice and takes every page back", arguments: 1...50)
    func randomUse(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        let total = Int.random(in: 1...300, using: &generator)
        var budget = PageBudget(pages: total)
        var held: [PageBudget.Run] = []
        for _ in 0..<500 {
            if Bool.random(using: &generator), let run = budget.take(Int.random(in: 1...40, using: &generator)) {
                #expect(run.start >= 0 && run.start + run.count <= total)
                #expect(held.allSatisfy { $0.start + $0.count <= run.start || run.start + run.count <= $0.start })
                held.append(run)
            } else if !held.isEmpty {
                budget.give(held.remove(at: Int.random(in: 0..<held.count, using: &generator)))
            }
            #expect(budget.free == total - held.map(\.count).reduce(0, +))
        }
        for run in held { budget.give(run) }
        #expect(budget.take(total) == PageBudget.Run(start: 0, count: total))
    }

    @Test("gives nothing where the free pages are no neighbours")
    func needsNeighbours() {
        var budget = PageBudget(pages: 3)
        let runs = (0..<3).compactMap { _ in budget.take(1) }
        budget.give(runs[0])
        budget.give(runs[2])
        #expect(budget.take(2) == nil)
        #expect(budget.free == 2)
    }

    @Test("gives nothing beyond its pages", arguments: [1, 63, 64, 65, 128])
    func isAHardLimit(pages: Int) {
        var budget = PageBudget(pages: pages)
        #expect(budget.take(pages + 1) == nil)
        #expect(budget.take(pages) != nil)
        #expect(budget.take(1) == nil)
    }
}

@Suite("The clean prefix of a job")
struct CleanPrefixTests {
    @Test("is the whole job when every piece is done, in whatever order", arguments: 1...20)
    func anyOrder(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        var prefix = CleanPrefix()
        let pieces = (0..<50).map { SectorRange(start: $0 * 10, count: 10) }.shuffled(using: &generator)
        for (index, piece) in pieces.enumerated() {
            prefix.done(piece)
            let done = Set(pieces[...index].map(\.start))
            let expected = (0..<50).first { !done.contains($0 * 10) } ?? 50
            #expect(prefix.end == expected * 10)
        }
    }

    @Test("ends at the first sector that failed")
    func endsAtFailure() {
        var prefix = CleanPrefix()
        prefix.done(SectorRange(start: 20, count: 10))
        prefix.broken(SectorRange(start: 10, count: 10))
        prefix.done(SectorRange(start: 30, count: 10))
        prefix.done(SectorRange(start: 0, count: 10))
        #expect(prefix.end == 10)
    }
}

@Suite("Buffers are scanned for zeroes")
struct BufferScanTests {
    private func runs(_ blocks: [Bool], unit: Int = 4096) -> [BufferScan.Run] {
        var bytes = [UInt8](repeating: 0, count: blocks.count * 4096)
        for (index, isZero) in blocks.enumerated() where !isZero { bytes[index * 4096 + 4095] = 1 }
        return bytes.withUnsafeBytes { raw in
            raw.baseAddress.map { BufferScan.runs($0, raw.count, unit: unit) } ?? []
        }
    }

    @Test("all zeroes are one run, one byte elsewhere is found at every place")
    func findsEveryByte() {
        var bytes = [UInt8](repeating: 0, count: 4096)
        func zero() -> Bool {
            bytes.withUnsafeBytes { raw in raw.baseAddress.map { BufferScan.isZero($0, raw.count) } ?? false }
        }
        #expect(zero())
        for index in stride(from: 0, to: 4096, by: 7) {
            bytes[index] = 0x80
            #expect(!zero())
            bytes[index] = 0
        }
    }

    @Test("long zeroes are a run of their own, short ones stay with the data")
    func shortZeroesStay() {
        let long = Array(repeating: true, count: 8)
        #expect(
            runs([false] + long + [false]) == [
                BufferScan.Run(offset: 0, length: 4096, isZero: false),
                BufferScan.Run(offset: 4096, length: 32768, isZero: true),
                BufferScan.Run(offset: 36864, length: 4096, isZero: false),
            ])
        #expect(runs([false, true, true, false]) == [BufferScan.Run(offset: 0, length: 16384, isZero: false)])
        #expect(runs(long) == [BufferScan.Run(offset: 0, length: 32768, isZero: true)])
        #expect(runs([true]) == [BufferScan.Run(offset: 0, length: 4096, isZero: true)])
    }

    @Test("a digest changes with every bit and with the order of words")
    func digestSeesChanges() {
        var bytes = (0..<1024).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        func digest() -> BufferDigest? {
            bytes.withUnsafeBytes { raw in raw.baseAddress.map { BufferDigest($0, raw.count) } }
        }
        let before = digest()
        #expect(digest() == before)
        for index in 0..<1024 {
            bytes[index] ^= 1 << UInt8(index % 8)
            #expect(digest() != before)
            bytes[index] ^= 1 << UInt8(index % 8)
        }
        bytes.swapAt(0, 32)
        #expect(digest() != before)
    }
}
