import BlockIO
import Glibc
import TestSupport
import Testing

@testable import Targets

/// Random and mutated stores: whatever is on the device, loading neither crashes nor writes, and what loads is sound.
@Suite("Stores of random bytes")
struct StoreFuzzTests {
    /// Seeds of stores that are kept because they reach a corner: each is the number that `store(_:)` was called with.
    private static let kept: [UInt64] = [0, 1, 2, 3, 17, 255, 1 << 40, .max]

    /// How long to look for more, in seconds, where the environment says so.
    private static let seconds = getenv("UCOPYD_FUZZ_SECONDS").flatMap { Double(String(cString: $0)) }

    /// A store that a seed stands for: well formed, then damaged in a few places.
    private static func store(_ seed: UInt64) -> (medium: MemoryMedium, originSectors: UInt64?) {
        var numbers = SeededNumbers(seed)
        let chunk: UInt64 = 1 << (numbers.next() % 6)
        let perArea = chunk * 32
        let count = numbers.next() % min(perArea * 4, 400)
        let fits = StoreGeometry(chunkSectors: chunk).areaChunk(count / perArea) + perArea
        let chunks = numbers.next() % 8 == 0 ? count + 2 : fits + numbers.next() % 8
        let block: UInt64 = numbers.next() % 4 == 0 ? min(chunk, 8) : 1
        var list = MemoryMedium.inOrder(Int(count), chunk: chunk)
        if numbers.next() % 2 == 0 { list.shuffle(using: &numbers) }
        let medium = MemoryMedium.store(chunk: chunk, chunks: chunks, list, block: block)
        for _ in 0..<numbers.next() % 4 { damage(medium, chunk, &numbers) }
        if numbers.next() % 16 == 0 { medium.sectors -= numbers.next() % medium.sectors / block * block }
        let origin = numbers.next() % 3 == 0 ? numbers.next() % (count * 4 * chunk + 1) : nil
        return (medium, origin)
    }

    private static func damage(_ medium: MemoryMedium, _ chunk: UInt64, _ numbers: inout SeededNumbers) {
        let bytes = medium.sectors * 512
        let slot = 512 * chunk + numbers.next() % min(bytes - chunk * 512, 8192) / 16 * 16
        switch numbers.next() % 8 {
        case 0: medium.poke(numbers.next() % 16, [UInt8(truncatingIfNeeded: numbers.next())])
        case 1: medium.poke(numbers.next() % bytes, [UInt8(truncatingIfNeeded: numbers.next())])
        case 2: medium.poke(slot, littleEndianBytes(numbers.next()) + littleEndianBytes(numbers.next()))
        case 3: medium.poke(slot, littleEndianBytes(numbers.next() % 512) + littleEndianBytes(numbers.next() % 512))
        case 4: medium.poke(slot + 8, [UInt8](repeating: 0, count: 8))
        case 5: medium.poke(slot, littleEndianBytes(UInt64.max) + littleEndianBytes(1 as UInt64))
        case 6: medium.poke(slot, medium.peek(512 * chunk, 16))
        default: medium.poke(512 * chunk, (0..<512).map { _ in UInt8(truncatingIfNeeded: numbers.next()) })
        }
    }

    private func examine(_ seed: UInt64) throws {
        let (medium, originSectors) = Self.store(seed)
        let isNew = medium.peek(0, 4) == [0, 0, 0, 0]
        let before = medium.content
        let report = try StoreInspector(medium: medium).check()
        let loader = PersistentStoreLoader(medium: medium, originSectors: originSectors)
        do {
            let store = try loader.load()
            switch store.condition {
            case .new: #expect(isNew && report.condition == .new, "seed \(seed)")
            case .invalid: #expect(report.condition == .invalid && store.table.count == 0, "seed \(seed)")
            case .valid:
                #expect(report.isLoadable && report.exceptions == store.table.count, "seed \(seed)")
                try expectSound(store, medium, originSectors, seed)
            }
        } catch {
            #expect(!report.isLoadable || isNew || originSectors != nil, "seed \(seed): \(error)")
        }
        if !isNew { #expect(medium.events.isEmpty && medium.content == before, "seed \(seed): nothing was written") }
        try examineRepair(medium, report, seed)
    }

    /// A repair either refuses and writes nothing, or makes a store that loads and has lost no good exception.
    private func examineRepair(_ medium: MemoryMedium, _ report: StoreReport, _ seed: UInt64) throws {
        medium.events = []
        guard let repair = try? StoreInspector(medium: medium).repair() else {
            #expect(medium.events.isEmpty, "seed \(seed): a refused repair writes nothing")
            return
        }
        let after = try StoreInspector(medium: medium).check()
        let bad = Set(report.faults.filter { $0.preventsLoading }.map { $0.place })
        #expect(after.isLoadable && !after.faults.contains { $0.rule == .staleTail }, "seed \(seed)")
        #expect(repair.droppedExceptions == UInt64(bad.count) && after.exceptions == repair.exceptions, "seed \(seed)")
    }

    private func expectSound(
        _ store: LoadedStore, _ medium: MemoryMedium, _ originSectors: UInt64?, _ seed: UInt64
    ) throws {
        let geometry = store.geometry
        let chunks = geometry.chunks(in: medium.sectors)
        var news: Set<UInt64> = []
        var end: UInt64 = 0
        store.table.forEachRun { run in
            #expect(run.old >= end, "seed \(seed)")
            end = run.oldEnd
            for chunk in run.new..<run.new + run.length {
                #expect(geometry.isData(chunk) && chunk < chunks && chunk < store.cursor.nextFree, "seed \(seed)")
                #expect(news.insert(chunk).inserted, "seed \(seed)")
            }
        }
        if let originSectors { #expect(end <= geometry.originChunks(in: originSectors), "seed \(seed)") }
        #expect(UInt64(news.count) == store.table.count, "seed \(seed)")
        let slots = store.cursor.area * geometry.exceptionsPerArea + store.cursor.used
        let unit = geometry.writeUnit(logicalBlock: medium.logicalBlockSectors)
        #expect(slots == store.table.count && store.tail.count == Int(store.cursor.used) * 16 % unit, "seed \(seed)")
        try StoreInspector(medium: medium).dump { exception in
            #expect(store.table.lookup(exception.oldChunk)?.newChunk == exception.newChunk, "seed \(seed)")
        }
    }

    @Test("never crash the loader, are never written to, and what loads obeys every rule")
    func fuzz() throws {
        for seed in Self.kept { try examine(seed) }
        let clock = ContinuousClock()
        let end = clock.now + .seconds(Self.seconds ?? 1)
        // The short run is the same everywhere; a long one begins somewhere else each time, and says where.
        var seed = Self.seconds == nil ? 1000 : UInt64.random(in: 0 ... .max)
        if Self.seconds != nil { print("store fuzzer: from seed \(seed)") }
        while clock.now < end {
            try examine(seed)
            seed &+= 1
        }
    }
}
