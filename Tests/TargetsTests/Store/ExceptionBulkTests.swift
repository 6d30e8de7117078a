import BlockIO
import TestSupport
import Testing

@testable import Targets

@Suite("The exceptions of whole areas")
struct ExceptionBulkTests {
    typealias Pair = (old: UInt64, new: UInt64)

    private static let geometry = StoreGeometry(chunkSectors: 16)

    /// The pairs of a table, checked for order and overlaps.
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

    /// A table made of areas, or nil where an exception is refused.
    private func bulk(
        _ list: [Pair], chunks: UInt64, origin: UInt64?, bitLimit: UInt64 = ChunkSet.limit
    ) -> ExceptionTable? {
        let bulk = ExceptionBulk(
            geometry: Self.geometry, storeChunks: chunks, originChunks: origin, bitLimit: bitLimit, lanes: 3)
        var area = [UInt8](repeating: 0, count: Int(Self.geometry.chunkBytes))
        for (number, first) in stride(from: 0, to: list.count, by: 512).enumerated() {
            let part = list[first..<min(first + 512, list.count)]
            area.withUnsafeMutableBytes { bytes in
                for (slot, pair) in part.enumerated() {
                    ExceptionEntry(old: pair.old, new: pair.new).encode(into: bytes, slot: slot)
                }
                bulk.append(ExceptionList.head(UnsafeRawBufferPointer(bytes), part.count), lane: number % 3)
            }
        }
        return bulk.build()
    }

    @Test(
        "give the table that single insertions give, with and without a bit for each chunk",
        arguments: [ChunkSet.limit, 0], [nil, 1 << 20, 1 << 50] as [UInt64?])
    func everyCount(bitLimit: UInt64, origin: UInt64?) throws {
        var numbers = SeededNumbers(11)
        for count in [0, 1, 56, 57, 3000, 60_000] {
            var olds: Set<UInt64> = []
            var new: UInt64 = 1
            var list: [Pair] = []
            while list.count < count {
                // Crowds, runs, and chunks far from everything.
                let base = numbers.next() % 4 == 0 ? numbers.next() % (origin ?? 1 << 56) : numbers.next() % 5000
                for chunk in base..<min(base + 1 + numbers.next() % 5, origin ?? 1 << 56) where list.count < count {
                    guard olds.insert(chunk).inserted else { continue }
                    new = Self.geometry.dataChunk(after: new)
                    list.append((chunk, new))
                }
            }
            if count == 3000 { list.shuffle(using: &numbers) }
            let table = try #require(bulk(list, chunks: 200_000, origin: origin, bitLimit: bitLimit))
            #expect(table.count == UInt64(count))
            #expect(contents(of: table) == Dictionary(uniqueKeysWithValues: list.map { ($0.old, $0.new) }))
            let single = ExceptionTable()
            for pair in list { single.insert(old: pair.old, new: pair.new) }
            // Single insertions do not join runs of different leaves.
            #expect(table.runCount <= single.runCount, "what follows each other is one run")
            // It can be changed like any other.
            for pair in list { #expect(table.remove(old: pair.old)) }
            #expect(table.count == 0 && table.runCount == 0)
        }
    }

    @Test("a million random exceptions take at most 24 bytes each, and are all found")
    func memory() throws {
        var list = MemoryMedium.inOrder(1_000_000, chunk: 16)
        for index in list.indices { list[index].old = UInt64(index) &* 0x9E37_79B1 & (1 << 26 - 1) }
        let table = try #require(bulk(list, chunks: 1_100_000, origin: 1 << 26))
        #expect(table.memoryBytes <= 24 * 1_000_000)
        for pair in list.prefix(10_000) { #expect(table.lookup(pair.old)?.newChunk == pair.new) }
    }

    @Test(
        "a long run stays one, however few bits there are for its length",
        arguments: [1 << 20, 1 << 50, nil] as [UInt64?])
    func longRun(origin: UInt64?) throws {
        let list = (0..<500 as Range<UInt64>).map { (old: $0 + 7, new: $0 + 2) }
        let table = try #require(bulk(list, chunks: 1 << 18, origin: origin))
        #expect(table.runCount == 1 && table.lookup(7)?.length == 500)
    }

    @Test("with one that breaks a rule give no table", arguments: [ChunkSet.limit, 0])
    func refused(bitLimit: UInt64) {
        let good = MemoryMedium.inOrder(5000, chunk: 16)
        func table(with bad: Pair) -> ExceptionTable? {
            bulk(good + [bad], chunks: 6000, origin: 20_000, bitLimit: bitLimit)
        }
        #expect(table(with: (19_999, 5999))?.count == 5001)
        #expect(table(with: (20_000, 5999)) == nil, "old chunk behind the origin")
        #expect(table(with: (19_999, 6000)) == nil, "new chunk behind the store")
        #expect(table(with: (19_999, 514)) == nil, "an area")
        #expect(table(with: (300, 5999)) == nil, "old chunk twice")
        #expect(table(with: (19_999, 300)) == nil, "new chunk twice")
        let again = (0..<100 as Range<UInt64>).map { (old: 19_000 + $0 * 3, new: 600 + $0) }
        #expect(
            bulk(good + again, chunks: 6000, origin: 20_000, bitLimit: bitLimit) == nil, "new chunks in order, twice")
    }

    // MARK: Many

    /// How old chunks are spread.
    enum Spread: CaseIterable, Sendable {
        /// Everywhere.
        case even
        /// Close to each other, in an origin that is thousands of times as large.
        case crowd
        /// Close to each other, and their numbers, of 56 bits, take words of 16 bytes.
        case wideCrowd

        var originChunks: UInt64 { self == .even ? 1 << 22 : self == .crowd ? 1 << 34 : 1 << 56 }

        func old(_ index: Int) -> UInt64 {
            let scattered = UInt64(index) &* 0x9E37_79B1
            return self == .even ? scattered & (1 << 22 - 1) : 1 << 33 + scattered & (1 << 19 - 1)
        }
    }

    private func store(_ spread: Spread, _ count: Int) -> (medium: MemoryMedium, list: [Pair]) {
        var list = MemoryMedium.inOrder(count, chunk: 16)
        for index in list.indices { list[index].old = spread.old(index) }
        let medium = MemoryMedium.store(chunk: 16, chunks: UInt64(count) * 2, list)
        // What an earlier life left where the list has not come to yet.
        let end = UInt64(count) / 512
        for area in end + 1..<end + 40 {
            medium.poke(Self.geometry.areaSector(area) * 512, [UInt8](repeating: 0xee, count: 8192))
        }
        return (medium, list)
    }

    @Test(
        "are all there and nothing else, hundreds of thousands of them, read and sorted by several threads",
        arguments: Spread.allCases)
    func many(spread: Spread) throws {
        let (medium, list) = store(spread, 300_000)
        let store = try PersistentStoreLoader(medium: medium, originSectors: spread.originChunks * 16).load()
        #expect(store.table.count == 300_000 && !store.hasStaleTail)
        #expect(store.cursor.area == 300_000 / 512 && store.cursor.used == 300_000 % 512)
        #expect(contents(of: store.table) == Dictionary(uniqueKeysWithValues: list.map { ($0.old, $0.new) }))
        #expect(store.table.memoryBytes <= 24 * 300_000)
    }

    @Test("a chunk that comes twice among hundreds of thousands is found, with its place", arguments: Spread.allCases)
    func twice(spread: Spread) throws {
        let (medium, list) = store(spread, 300_000)
        let loader = PersistentStoreLoader(medium: medium, originSectors: spread.originChunks * 16)
        func reason(_ pair: Pair) -> String? {
            medium.pokeException(299_999, pair, chunk: 16)
            return #expect(throws: BlockError.self) { try loader.load() }?.reason
        }
        #expect(reason((list[7].old, list[299_999].new))?.contains("area 0, slot 7 ") == true)
        #expect(reason((list[299_999].old, list[9].new))?.contains("area 0, slot 9 ") == true)
    }

    // MARK: Words

    @Test("a run comes out of its word as it went in, up to the largest numbers that fit")
    func words() throws {
        for (old, new) in [(40, 29), (32, 32), (9, 56), (1, 3), (26, 22)] as [(UInt64, UInt64)] {
            let code = try #require(NarrowCode(oldLimit: 1 << old, newLimit: 1 << new))
            let runs = [
                ExceptionRun(old: 1 << old - 1, new: 1 << new - 1, length: code.longest),
                ExceptionRun(old: 0, new: 1 << new - 1, length: code.longest), ExceptionRun(old: 1 << old - 1, new: 1),
                ExceptionRun(old: 1 << (old - 1), new: 1),
            ]
            for run in runs {
                let bucket = run.old >> code.bucketShift
                #expect(bucket < UInt64(RunBucket.count))
                #expect(code.run(code.word(run), bucket: bucket) == run)
            }
        }
        #expect(NarrowCode(oldLimit: 1 << 40, newLimit: 1 << 30) == nil)
    }

    @Test("words are sorted whatever their distribution")
    func order() {
        var numbers = SeededNumbers(5)
        for count in [0, 1, 2, 24, 25, 1000, 40_000] {
            for shape in 0..<4 {
                var words = (0..<count).map { index in
                    switch shape {
                    case 0: numbers.next()
                    case 1: numbers.next() % 3
                    case 2: numbers.next() >> (numbers.next() % 64)
                    default: UInt64(count - index)
                    }
                }
                let sorted = words.sorted()
                var spare = words
                words.withUnsafeMutableBufferPointer { words in
                    spare.withUnsafeMutableBufferPointer { spare in
                        guard let words = words.baseAddress, let spare = spare.baseAddress else { return }
                        RunOrder<NarrowCode>.sort(words, count, spare: spare)
                    }
                }
                #expect(words == sorted)
            }
        }
    }
}
