import BlockIO
import SystemPackage
import TestSupport
import Testing

@testable import Targets

@Suite("Looking into a store, and repairing it")
struct StoreInspectorTests {
    private func check(_ medium: MemoryMedium) throws -> StoreReport {
        let report = try StoreInspector(medium: medium).check()
        #expect(medium.events.isEmpty, "a check writes nothing")
        return report
    }

    private func dump(_ medium: MemoryMedium) throws -> [[UInt64]] {
        var lines: [[UInt64]] = []
        try StoreInspector(medium: medium).dump { lines.append([$0.area, $0.slot, $0.oldChunk, $0.newChunk]) }
        return lines
    }

    private func places(_ report: StoreReport) -> [[UInt64]] {
        report.faults.map { $0.place.map { [$0.area, $0.slot] } ?? [] }
    }

    @Test("reports header, areas and fill of a good store, and dumps it slot by slot")
    func good() throws {
        let list = MemoryMedium.inOrder(514, chunk: 16)
        let medium = MemoryMedium.store(chunk: 16, chunks: 2000, list)
        let report = try check(medium)
        #expect(report.condition == .valid && report.isLoadable && report.faults.isEmpty)
        #expect(
            report.header
                == StoreReport.Header(magic: 0x7041_6E53, valid: 1, version: 1, chunkSectors: 16))
        #expect(report.device == "memory" && report.chunkSectors == 16 && report.exceptions == 514)
        #expect(
            report.areas == [
                StoreReport.Area(index: 0, chunk: 1, sector: 16, used: 512, slots: 512),
                StoreReport.Area(index: 1, chunk: 514, sector: 8224, used: 2, slots: 512),
            ])
        #expect(report.allocatedSectors == 517 * 16 && report.totalSectors == 32000 && report.metadataSectors == 48)
        let lines = try dump(medium)
        #expect(lines.count == 514 && lines[513] == [1, 1, 1539, 516] && lines[0] == [0, 0, 0, 2])
    }

    @Test("tells a new, an invalid and a foreign device apart, and dumps none of them")
    func conditions() throws {
        let medium = MemoryMedium(sectors: 100)
        #expect(try check(medium).condition == .new)
        #expect(throws: BlockError("memory", "dump", .invalidArgument, reason: "the device holds no store")) {
            try dump(medium)
        }
        medium.pokeHeader(valid: 0, chunk: 16)
        #expect(try check(medium).condition == .invalid)
        #expect(throws: BlockError("memory", "dump", .invalidArgument, reason: "the store has become invalid")) {
            try dump(medium)
        }
        medium.pokeHeader(magic: 7, chunk: 16)
        let foreign = try check(medium)
        #expect(foreign.condition == .unreadable && foreign.faults.map(\.rule) == [.wrongMagic(7)])
        medium.pokeHeader(version: 3, chunk: 48)
        let strange = try check(medium)
        #expect(
            strange.faults.map(\.rule) == [
                .unknownVersion(3), .badChunkSize("a chunk of 48 sectors: it has to be a power of two"),
            ])
        #expect(strange.condition == .unreadable && !strange.isLoadable)
        #expect(throws: BlockError.self) { try dump(medium) }
        #expect(try check(MemoryMedium(sectors: 0)).faults.map(\.rule) == [.tooSmall(sectors: 0, needed: 2)])
        let cut = MemoryMedium.store(chunk: 16, chunks: 1)
        #expect(try check(cut).faults.map(\.rule) == [.tooSmall(sectors: 16, needed: 32)])
    }

    @Test("finds every fault, not only the first, and dumps what is there all the same")
    func allFaults() throws {
        let list: [(old: UInt64, new: UInt64)] = [
            (0, 2), (1 << 60, 700), (0, 3), (9, 2), (4, 1), (5, 258), (6, 7), (0, 8),
        ]
        let medium = MemoryMedium.store(chunk: 8, chunks: 600, list)
        medium.poke(8191, [1])
        let report = try check(medium)
        let first = StorePlace(geometry: StoreGeometry(chunkSectors: 8), area: 0, slot: 0)
        #expect(
            report.faults.map(\.rule) == [
                .oldChunkTooLarge(1 << 60), .newChunkBeyondStore(700, chunks: 600), .oldChunkTwice(0, first: first),
                .newChunkTwice(2, first: first), .newChunkIsArea(1), .newChunkIsArea(258),
                .oldChunkTwice(0, first: first), .staleTail,
            ])
        #expect(places(report) == [[0, 1], [0, 1], [0, 2], [0, 3], [0, 4], [0, 5], [0, 7], [0, 8]])
        #expect(!report.isLoadable)
        #expect(try dump(medium).count == 8)
        #expect(
            report.faults[2].description
                == "area 0, slot 2 (byte 4128): old chunk 0: area 0, slot 0 (byte 4096) has it too"
        )
    }

    @Test("a full store without room for the next area is told, and loads")
    func noNextArea() throws {
        let medium = MemoryMedium.store(chunk: 8, chunks: 258, MemoryMedium.inOrder(256, chunk: 8))
        let report = try check(medium)
        #expect(report.faults.map(\.rule) == [.noNextArea] && report.isLoadable)
        let repair = try StoreInspector(medium: medium).repair()
        #expect(repair == StoreRepair(droppedExceptions: 0, exceptions: 256, clearedBytes: 0))
        #expect(medium.events.isEmpty)
    }

    // MARK: Repair

    @Test("a good store is left alone")
    func nothingToRepair() throws {
        let medium = MemoryMedium.store(chunk: 8, chunks: 600, MemoryMedium.inOrder(10, chunk: 8))
        let repair = try StoreInspector(medium: medium).repair()
        #expect(repair == StoreRepair(droppedExceptions: 0, exceptions: 10, clearedBytes: 0))
        #expect(medium.events.isEmpty)
    }

    /// A store whose list of `good` exceptions runs into an area that was never zeroed.
    private func damaged(good: Int, block: UInt64 = 1) -> (medium: MemoryMedium, good: MemoryMedium) {
        let list = MemoryMedium.inOrder(good, chunk: 16)
        let clean = MemoryMedium.store(chunk: 16, chunks: 2000, list, block: block)
        let medium = clean.copy()
        for number in UInt64(good)..<(UInt64(good) / 512 + 1) * 512 {
            medium.pokeException(number, (number | 1 << 58, 5000 + number), chunk: 16)
        }
        return (medium, clean)
    }

    @Test(
        "cuts off a tail of garbage, whole areas too", arguments: [3, 31, 32, 33, 511, 512, 513], [1, 8] as [UInt64])
    func garbage(good: Int, block: UInt64) throws {
        let (medium, clean) = damaged(good: good, block: block)
        let dropped = UInt64(512 - good % 512)
        let repair = try StoreInspector(medium: medium).repair()
        #expect(repair.droppedExceptions == dropped && repair.exceptions == UInt64(good))
        #expect(repair.clearedBytes == dropped * 16)
        #expect(medium.content == clean.content)
        #expect(try PersistentStoreLoader(medium: medium).load().table.count == UInt64(good))
    }

    @Test("zeroes what is behind the end of the list")
    func staleTail() throws {
        let clean = MemoryMedium.store(chunk: 16, chunks: 2000, MemoryMedium.inOrder(40, chunk: 16))
        let medium = clean.copy()
        medium.poke(8192 + 41 * 16, [UInt8](repeating: 9, count: 16))
        medium.poke(16383, [1])
        let repair = try StoreInspector(medium: medium).repair()
        #expect(repair == StoreRepair(droppedExceptions: 0, exceptions: 40, clearedBytes: 8192 - 640))
        #expect(medium.content == clean.content)
    }

    @Test("refuses everything that would take a good exception away, and writes nothing")
    func refusals() throws {
        func refusal(_ medium: MemoryMedium) -> String? {
            let error = #expect(throws: BlockError.self) { _ = try StoreInspector(medium: medium).repair() }
            #expect(medium.events.isEmpty && error?.errno == .invalidArgument)
            return error?.reason
        }
        let hole = MemoryMedium.store(chunk: 8, chunks: 600, [(1, 2), (2, 9999), (3, 4)])
        #expect(
            refusal(hole)
                == "area 0, slot 1 (byte 4112): the list would have to be cut here, and 1 good exceptions follow")
        let twice = MemoryMedium.store(chunk: 8, chunks: 600, [(1, 2), (1, 3), (3, 9999)])
        #expect(refusal(twice)?.contains("old chunk 1: area 0, slot 0 (byte 4096) has it too") == true)
        #expect(refusal(MemoryMedium(sectors: 100)) == "there is no list of exceptions: new")
        let foreign = MemoryMedium(sectors: 100)
        foreign.pokeHeader(magic: 1, chunk: 8)
        #expect(refusal(foreign)?.hasPrefix("header: begins with") == true)
        foreign.pokeHeader(valid: 0, chunk: 8)
        #expect(refusal(foreign) == "there is no list of exceptions: invalid")
    }

    @Test("a power cut in a repair, with any of the writes since the last flush lost, leaves it damaged or repaired")
    func powerCut() throws {
        var numbers = SeededNumbers(5)
        let (medium, clean) = damaged(good: 37)
        let before = medium.copy()
        _ = try StoreInspector(medium: medium).repair()
        #expect(medium.events.last == .flush)
        for end in 0...medium.events.count {
            for _ in 0..<8 {
                let cut = before.copy()
                let durable = medium.events[..<end].lastIndex(of: .flush) ?? 0
                for (index, event) in medium.events[..<end].enumerated() {
                    guard case .write(let sector, let bytes) = event else { continue }
                    // Sector by sector: a write may be torn.
                    for offset in stride(from: 0, to: bytes.count, by: 512)
                    where index < durable || numbers.next() % 2 == 0 {
                        cut.poke(sector * 512 + UInt64(offset), Array(bytes[offset..<offset + 512]))
                    }
                }
                let report = try StoreInspector(medium: cut).check()
                #expect(report.exceptions >= 37)
                if report.isLoadable { #expect(report.exceptions == 37) }
                _ = try StoreInspector(medium: cut).repair()
                #expect(cut.content == clean.content)
            }
        }
    }
}
