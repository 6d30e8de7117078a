import BlockIO
import KCopy
import Targets
import Testing

/// The tools of the other tests are worth what they find: they are tried by themselves.
@Suite("The simulated disks and copier")
struct SimulationTests {
    private let simulator = Simulator(seed: 1)

    private func disk(_ name: String, _ number: Int, sectors: Int = 64) -> SimulatedDisk {
        SimulatedDisk(
            simulator, name, number: number, content: SectorTags.bytes(SectorTags.fresh(number, count: sectors)))
    }

    @Test("a copy lays its overlay over what it reads, at every destination")
    func overlay() throws {
        for _ in 0..<20 {
            let source = disk("a", 1)
            let targets = [disk("b", 2), disk("c", 3)]
            let copier = try simulator.makeCopier(pages: 4, name: "test", priority: .copyOnWrite)
            let new = SectorTags.bytes([7, 8, 9])
            var result: (Bool, UInt32)?
            try new.withUnsafeBytes { bytes in
                let address = try #require(bytes.baseAddress)
                simulator.perform {
                    copier.copy(
                        from: source.open(writing: false), sector: 8, count: 16,
                        to: targets.map { CopyDestination($0.open(writing: true), 32) },
                        overlay: [OverlayStretch(sector: 5, count: 3, address: address)]
                    ) { result = ($0, $1) }
                }
                try simulator.run { result != nil }
            }
            #expect(result?.0 == false && result?.1 == 0)
            var expected = Array(SectorTags.fresh(1, count: 64)[8..<24])
            expected.replaceSubrange(5..<8, with: [7, 8, 9])
            for target in targets {
                #expect(SectorTags.tags(target.bytes(SectorRange(start: 32, count: 16))) == expected)
            }
        }
        #expect(simulator.violations == [])
    }

    @Test("a copy whose read fails writes nothing of that piece, and one whose write fails says where")
    func errors() throws {
        let source = disk("a", 1)
        let targets = [disk("b", 2), disk("c", 3)]
        let copier = try simulator.makeCopier(pages: 4, name: "test", priority: .copyOnWrite)
        simulator.pieceSectors = 16
        var results: [(Bool, UInt32)] = []
        source.faults = [.init(kinds: [.read], times: 1)]
        targets[1].faults = [.init(kinds: [.write])]
        for _ in 0..<2 {
            copier.copy(
                from: source.open(writing: false), sector: 0, count: 16,
                to: targets.map { CopyDestination($0.open(writing: true), 0) }, overlay: []
            ) { results.append(($0, $1)) }
            try simulator.settle()
            if results.count == 1 {
                #expect(SectorTags.tags(targets[0].content) == SectorTags.fresh(2, count: 64))
            }
        }
        #expect(results.map(\.0) == [true, false])
        #expect(results.map(\.1) == [0, 2])
        #expect(SectorTags.tags(targets[0].content)[..<16] == SectorTags.fresh(1, count: 64).map { $0 }[..<16])
    }

    @Test("a power cut keeps what a flush or a forced write made durable, and nothing else for certain")
    func powerCut() throws {
        let disk = disk("a", 1)
        let base = disk.content
        simulator.recording.keepsBytes = true
        let handle = disk.open(writing: true)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 512, alignment: 4096)
        defer { memory.deallocate() }
        func carryOut(_ kind: IOOperation.Kind, _ sector: UInt64, _ tag: UInt64 = 0, isFUA: Bool = false) throws {
            SectorTags.fill(memory, [tag])
            let transfer = DeviceIO()
            let slice = kind == .write ? MemorySlice(address: memory, slot: -1) : nil
            transfer.describe(kind, sector: sector, count: kind == .flush ? 0 : 1, memory: slice, isFUA: isFUA)
            handle.start(transfer)
            try simulator.settle()
        }
        try carryOut(.write, 0, 100)
        try carryOut(.flush, 0)
        try carryOut(.write, 1, 101)
        try carryOut(.write, 2, 102, isFUA: true)
        func cut(_ moment: Int, _ style: CutStyle) -> [UInt64?] {
            var numbers = simulator.numbers
            return Array(
                SectorTags.tags(
                    simulator.recording.content(of: 1, base: base, cutBefore: moment, style: style, numbers: &numbers)
                )[0..<3])
        }
        let old = SectorTags.fresh(1, count: 3)
        let end = simulator.recording.moment + 1
        #expect(cut(end, .nothingMore) == [100, old[1], 102])
        #expect(cut(end, .everything) == [100, 101, 102])
        #expect(cut(end - 1, .nothingMore) == [100, old[1], old[2]])
        #expect(cut(end - 1, .everything) == [100, 101, 102])
        #expect(cut(end - 1, .everythingEnded) == [100, 101, old[2]])
        #expect(cut(3, .nothingMore) == [old[0], old[1], old[2]])
    }

    @Test("what waits for nothing is reported with what is under way")
    func hang() throws {
        let disk = disk("a", 1)
        disk.holds = [.init(kinds: [.flush])]
        let transfer = DeviceIO()
        transfer.describe(.flush, sector: 0, count: 0)
        disk.open(writing: true).start(transfer)
        let hang = #expect(throws: Simulator.Hang.self) { try simulator.run { false } }
        #expect(hang?.description.contains("flush of a at 0+0 (held)") == true)
        disk.holds = []
        try simulator.settle()
        #expect(simulator.underWay == [])
    }

    @Test("detached work, timers and batches come in their order")
    func order() throws {
        var order: [String] = []
        simulator.perform {
            simulator.afterBatch { order.append("batch") }
            simulator.later { order.append("later") }
            order.append("now")
        }
        #expect(order == ["now", "later", "batch"])
        let first = simulator.after(nanoseconds: 1_000_000_000) { order.append("cancelled") }
        _ = simulator.after(nanoseconds: 2_000_000_000) { order.append("timer") }
        simulator.cancel(timer: first)
        simulator.detached({ Result<Int, TargetError>.success(5) }, then: { order.append("\($0)") })
        try simulator.settle()
        #expect(order == ["now", "later", "batch", "success(5)", "timer"])
        #expect(simulator.now >= 2_000_000_000)
    }
}
