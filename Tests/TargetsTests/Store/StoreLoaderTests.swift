import BlockIO
import SystemPackage
import Testing

@testable import Targets

@Suite("Loading a store")
struct StoreLoaderTests {
    private func load(
        _ medium: MemoryMedium, chunk: UInt64 = 0, originBlock: UInt64? = nil, originSectors: UInt64? = nil
    ) throws(BlockError) -> LoadedStore {
        try PersistentStoreLoader(
            medium: medium, tableChunk: chunk, originBlock: originBlock, originSectors: originSectors
        ).load()
    }

    /// Loads a store that has to be refused, and checks that it was not written to.
    private func refusal(
        _ medium: MemoryMedium, chunk: UInt64 = 0, originBlock: UInt64? = nil, originSectors: UInt64? = nil
    ) -> BlockError? {
        let before = medium.content
        let error = #expect(throws: BlockError.self) {
            try load(medium, chunk: chunk, originBlock: originBlock, originSectors: originSectors)
        }
        #expect(medium.events.isEmpty && medium.content == before, "a refused store stays as it was")
        return error
    }

    private func exceptions(_ store: LoadedStore) -> [[UInt64]] {
        var pairs: [[UInt64]] = []
        store.table.forEachRun { run in
            for offset in 0..<run.length { pairs.append([run.old + offset, run.new + offset]) }
        }
        return pairs
    }

    // MARK: New stores

    @Test(
        "initialises a new store: the first area zeroed and flushed, then the header",
        arguments: [1, 8, 16, 32, 128, 1024] as [UInt64])
    func new(chunk: UInt64) throws {
        let medium = MemoryMedium(sectors: chunk * 10)
        // Left over from an earlier life, except for the magic number.
        medium.poke(4, [UInt8](repeating: 0xee, count: Int(chunk) * 1024 - 4))
        let store = try load(medium, chunk: chunk)
        #expect(store.condition == .new && store.chunkSectors == chunk && store.table.count == 0)
        #expect(store.cursor == SlotCursor(geometry: StoreGeometry(chunkSectors: chunk)))
        #expect(store.tail.isEmpty && !store.hasStaleTail)
        #expect(
            medium.peek(0, 16) == [0x53, 0x6E, 0x41, 0x70, 1, 0, 0, 0, 1, 0, 0, 0] + littleEndianBytes(UInt32(chunk)))
        #expect(medium.peek(16, Int(chunk) * 1024 - 16).allSatisfy { $0 == 0 })
        let headerWrite = try #require(medium.events.lastIndex { if case .write(0, _) = $0 { true } else { false } })
        #expect(medium.events[headerWrite - 1] == .flush && medium.events.last == .flush)
        #expect(medium.events.count == headerWrite + 2)
        #expect(try load(medium).condition == .valid)
    }

    @Test("a new store whose initialisation is cut off at any write is still new, or an empty store")
    func cutInitialisation() throws {
        for calls in 0..<8 {
            let medium = MemoryMedium(sectors: 100, logicalBlockSectors: 1)
            medium.poke(16 * 512, [UInt8](repeating: 0x55, count: 16 * 512))
            medium.callsUntilFailure = calls
            let failed = (try? load(medium, chunk: 16)) == nil
            #expect(failed == (calls < 5))
            medium.callsUntilFailure = .max
            let again = try load(medium, chunk: 16)
            #expect(again.condition == (calls < 4 ? .new : .valid))
            #expect(again.table.count == 0 && again.cursor.used == 0)
        }
    }

    @Test("refuses a new store without room for header and first area, with the numbers")
    func tooSmall() throws {
        let error = refusal(MemoryMedium(sectors: 31), chunk: 16)
        #expect(error?.errno == .noSpace)
        #expect(
            error?.description
                == "memory: load the store: the device has 31 sectors: header and first area of a new store need two chunks, 32 sectors"
        )
        #expect(refusal(MemoryMedium(sectors: 0), chunk: 16)?.errno == .noSpace)
        #expect(try load(MemoryMedium(sectors: 32), chunk: 16).condition == .new)
    }

    @Test("takes 32 sectors for the default, or the logical block where it is larger")
    func defaultChunk() throws {
        #expect(try load(MemoryMedium(sectors: 1000)).chunkSectors == 32)
        #expect(try load(MemoryMedium(sectors: 1024, logicalBlockSectors: 8)).chunkSectors == 32)
        #expect(try load(MemoryMedium(sectors: 1024, logicalBlockSectors: 128)).chunkSectors == 128)
    }

    // MARK: The header

    @Test("refuses a device that holds something else: ENXIO")
    func wrongMagic() {
        let medium = MemoryMedium(sectors: 1000)
        medium.pokeHeader(magic: 0x1234, chunk: 16)
        let error = refusal(medium)
        #expect(error?.errno == .noSuchAddressOrDevice)
        #expect(
            error?.description == "memory: load the store: header: begins with 0x00001234, not with 0x70416e53")
    }

    @Test("refuses another version, valid or not", arguments: [0, 2, .max] as [UInt32], [0, 1] as [UInt32])
    func version(version: UInt32, valid: UInt32) {
        let medium = MemoryMedium(sectors: 1000)
        medium.pokeHeader(valid: valid, version: version, chunk: 16)
        let error = refusal(medium)
        #expect(error?.errno == .invalidArgument && error?.reason.contains("version \(version)") == true)
    }

    @Test("the chunk size of the header counts, after it has passed the rules")
    func headerChunk() throws {
        let medium = MemoryMedium.store(chunk: 16, chunks: 100, [(7, 2)])
        #expect(try load(medium, chunk: 64).chunkSectors == 16)
        for wrong in [0, 24, 4_194_304] as [UInt64] {
            medium.pokeHeader(chunk: wrong)
            let error = refusal(medium)
            #expect(
                error?.errno == .invalidArgument
                    && error?.reason.hasPrefix("header: a chunk of \(wrong) sectors") == true)
        }
        medium.pokeHeader(chunk: 16)
        #expect(
            refusal(medium, chunk: 32, originBlock: 32)?.reason.contains("the origin's logical block of 32") == true)
    }

    @Test("refuses a chunk size of the table that breaks a rule, before it looks at the device")
    func tableChunk() {
        let medium = MemoryMedium.store(chunk: 16, chunks: 100)
        #expect(
            refusal(medium, chunk: 24)?.reason == "the table names a chunk of 24 sectors: it has to be a power of two")
        #expect(refusal(medium, chunk: 4, originBlock: 8)?.errno == .invalidArgument)
        #expect(medium.bytesRead == 0)
    }

    @Test("any number but 0 makes a store valid; an invalid one loads as such, its exceptions unread")
    func validity() throws {
        let medium = MemoryMedium.store(chunk: 16, chunks: 100, [(7, 0xffff_ffff)])
        medium.pokeHeader(valid: 0, chunk: 16)
        let store = try load(medium)
        #expect(store.condition == .invalid && store.table.count == 0 && store.chunkSectors == 16)
        medium.pokeException(0, (7, 2), chunk: 16)
        medium.pokeHeader(valid: 77, chunk: 16)
        #expect(try load(medium).condition == .valid)
        #expect(medium.events.isEmpty)
    }

    @Test("refuses a store that ends before its first area does")
    func truncated() {
        let medium = MemoryMedium.store(chunk: 16, chunks: 100)
        medium.sectors = 31
        #expect(refusal(medium)?.reason == "header: the device has 31 sectors, header and first area need 32")
    }

    // MARK: The list

    @Test(
        "loads lists of every length around the end of an area",
        arguments: [1, 8, 16, 32, 128] as [UInt64], [-1, 0, 1] as [Int])
    func lengths(chunk: UInt64, difference: Int) throws {
        let perArea = Int(chunk) * 32
        for areas in [0, 1, 2, 5] where areas * perArea + difference >= 0 {
            let count = areas * perArea + difference
            let expected = MemoryMedium.inOrder(count, chunk: chunk)
            let medium = MemoryMedium.store(chunk: chunk, chunks: UInt64(6 * perArea), expected)
            let store = try load(medium)
            #expect(store.condition == .valid && store.table.count == UInt64(count) && !store.hasStaleTail)
            #expect(exceptions(store) == expected.map { [$0.old, $0.new] })
            #expect(store.cursor.area == UInt64(count / perArea) && store.cursor.used == UInt64(count % perArea))
            let last = expected.suffix(count % perArea)
            let used = last.flatMap { littleEndianBytes($0.old) + littleEndianBytes($0.new) }
            let unit = min(4096, Int(chunk) * 512)
            #expect(store.tail == used.suffix(used.count % unit), "of the block that the next slot lies in")
            let next = StoreGeometry(chunkSectors: chunk).dataChunk(after: expected.last?.new ?? 1)
            #expect(store.cursor.nextFree == next)
            #expect(medium.events.isEmpty)
        }
    }

    @Test("loads exceptions in any order, with holes; the next free chunk is behind the highest, and no area")
    func anyOrder() throws {
        let medium = MemoryMedium.store(chunk: 8, chunks: 1000, [(900, 257), (0, 100), (5, 2), (6, 3), (7, 4)])
        let store = try load(medium)
        #expect(exceptions(store) == [[0, 100], [5, 2], [6, 3], [7, 4], [900, 257]])
        #expect(store.cursor.nextFree == 259)
        #expect(store.table.runCount == 3)
    }

    @Test("loads chunks of 1024 sectors, and the largest there are")
    func largeChunks() throws {
        for chunk in [1024, 16384, 2_097_152] as [UInt64] {
            let medium = MemoryMedium.store(chunk: chunk, chunks: 40, [(11, 2), (12, 3), (1, 39)])
            let store = try load(medium)
            #expect(exceptions(store) == [[1, 39], [11, 2], [12, 3]])
            #expect(store.cursor.used == 3 && store.cursor.nextFree == 40 && !store.hasStaleTail)
        }
    }

    @Test("a full last area without room for another is a full store")
    func fullWithoutSuccessor() throws {
        let store = try load(MemoryMedium.store(chunk: 8, chunks: 258, MemoryMedium.inOrder(256, chunk: 8)))
        #expect(store.table.count == 256)
        #expect(store.cursor.area == 0 && store.cursor.used == 256)
        #expect(!store.cursor.canAllocate(sectors: 258 * 8) && !store.cursor.canAllocate(sectors: 2580))
        #expect(store.tail.isEmpty)
    }

    @Test("tells of bytes behind the end of the list, near and far", arguments: [8, 16384] as [UInt64])
    func staleTail(chunk: UInt64) throws {
        let medium = MemoryMedium.store(chunk: chunk, chunks: 300, [(1, 2)])
        #expect(try !load(medium).hasStaleTail)
        for offset in [chunk * 512 + 16, chunk * 512 + 24, chunk * 1024 - 1] {
            let stale = medium.copy()
            stale.poke(offset + (offset % 16 == 8 ? 15 : 0), [1])
            let store = try load(stale)
            #expect(store.hasStaleTail && store.table.count == 1)
        }
    }

    @Test("a sector that cannot be read fails the load")
    func readError() {
        let medium = MemoryMedium.store(chunk: 8, chunks: 600, MemoryMedium.inOrder(256, chunk: 8))
        medium.badSectors = 258 * 8..<258 * 8 + 1
        #expect(refusal(medium)?.errno == .ioError)
    }

    // MARK: Faults

    @Test("refuses an exception that breaks a rule, with its place")
    func rules() {
        typealias Case = (bad: (old: UInt64, new: UInt64), reason: String)
        let cases: [Case] = [
            ((1 << 56, 500), "old chunk 72057594037927936: chunk numbers are below 2^56"),
            ((1000, 500), "old chunk 1000: the origin has 1000 chunks"),
            ((998, 600), "new chunk 600: the store has 600 chunks"),
            ((998, .max), "new chunk 18446744073709551615: the store has 600 chunks"),
            ((998, 1), "new chunk 1: that chunk holds exceptions"),
            ((998, 515), "new chunk 515: that chunk holds exceptions"),
            ((3, 500), "old chunk 3: area 0, slot 1 (byte 4112) has it too"),
            ((998, 4), "new chunk 4: area 0, slot 2 (byte 4128) has it too"),
        ]
        for (bad, reason) in cases {
            // In the second area, so that the place has two parts.
            let medium = MemoryMedium.store(chunk: 8, chunks: 600, MemoryMedium.inOrder(259, chunk: 8) + [bad])
            let error = refusal(medium, originSectors: 7999)
            #expect(error?.errno == .invalidArgument)
            #expect(error?.reason == "area 1, slot 3 (byte 1056816): \(reason)")
        }
    }

    @Test("without an origin an old chunk has no limit but 2^56")
    func unknownOrigin() throws {
        let medium = MemoryMedium.store(chunk: 8, chunks: 600, [((1 << 56) - 1, 2)])
        #expect(exceptions(try load(medium)) == [[(1 << 56) - 1, 2]])
    }
}
