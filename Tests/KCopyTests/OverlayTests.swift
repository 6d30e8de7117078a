import BlockIO
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import KCopy

/// Memory of a caller, with an overlay on it that is described by sectors.
private final class OverlayMemory: @unchecked Sendable {  // nobody writes to it after `init`
    private let memory: UnsafeMutableRawBufferPointer
    let overlay: CopyOverlay

    /// Stretches of some sectors each, filled from a content one after the other.
    init(_ stretches: [(sector: Int, count: Int)], from content: [UInt8]) {
        let total = stretches.map(\.count).reduce(0, +) * Sector.size
        memory = .allocate(byteCount: max(total, 1), alignment: 1)
        memory.copyBytes(from: content[..<total])
        var position = 0
        var list: [CopyOverlay.Stretch] = []
        for (sector, count) in stretches {
            let length = count * Sector.size
            let bytes = UnsafeRawBufferPointer(rebasing: memory[position..<position + length])
            list.append(CopyOverlay.Stretch(bytes, at: UInt64(sector * Sector.size)))
            position += length
        }
        overlay = CopyOverlay(list)
    }

    deinit { memory.deallocate() }
}

extension [UInt8] {
    /// With stretches of sectors, counted from `start`, filled from a content one after the other.
    fileprivate func laying(_ stretches: [(sector: Int, count: Int)], at start: Int = 0, from content: [UInt8])
        -> [UInt8]
    {
        var result = self
        var position = 0
        for (sector, count) in stretches {
            result = result.replacing(sector: start + sector, count: count, from: content, sector: position)
            position += count
        }
        return result
    }
}

@Suite("A copy with an overlay")
struct OverlayTests {
    private static let size = 2 << 20
    private static let sectors = size / Sector.size
    private static let random = Bytes.random(size, seed: 1)
    private static let before = Bytes.random(size, seed: 2)
    private static let user = Bytes.random(size, seed: 3)
    private static let zeroes = [UInt8](repeating: 0, count: size)

    private func copy(
        _ fixture: CopyFixture, _ source: IORegion, _ destinations: [IORegion], _ flags: CopyFlags = [],
        stretches: [(sector: Int, count: Int)], from content: [UInt8] = user
    ) async throws -> CopyResult {
        let memory = OverlayMemory(stretches, from: content)
        let result = try await fixture.client.copied(
            from: source, to: destinations, flags: flags, overlay: memory.overlay)
        withExtendedLifetime(memory) {}
        return result
    }

    @Test(
        "puts its bytes on top of the source's, wherever pieces begin and end", arguments: EngineKind.available,
        [1, 3, 64, 2048])
    func content(engine: EngineKind, pages: Int) async throws {
        let fixture = try CopyFixture(engine, pages: pages)
        let source = try fixture.image("source", Self.random)
        let destinations = try (0..<3).map { try fixture.image("destination \($0)", Self.before) }
        // One sector; across every kind of piece; the last of the region; the first; neighbours.
        let stretches = [(9, 1), (100, 2500), (3999, 1), (0, 3), (3000, 8), (3008, 5)]
        let expected = Self.before.replacing(sector: 7, count: 4000, from: Self.random, sector: 3)
            .laying(stretches, at: 7, from: Self.user)
        for count in [1, 3] {
            let result = try await copy(
                fixture, IORegion(source, sector: 3, count: 4000),
                destinations.suffix(count).map { IORegion($0, sector: 7, count: 4000) }, stretches: stretches)
            #expect(result == .success(4000))
            for device in destinations.suffix(count) { try expectContent(device, expected) }
        }
        try expectContent(source, Self.random)
        #expect(fixture.freePages == pages)
    }

    @Test("is one read and one write", arguments: EngineKind.available)
    func twoOperations(engine: EngineKind) async throws {
        let plan = FaultPlan()
        let fixture = try CopyFixture(engine, plan: plan)
        let source = try fixture.image("source", Self.random)
        let destination = try fixture.image("destination", Self.before)
        let result = try await copy(
            fixture, IORegion(source, sector: 128, count: 128), [IORegion(destination, sector: 256, count: 128)],
            stretches: [(8, 8), (32, 1)])
        #expect(result == .success(128))
        #expect(
            plan.log == [
                Access(kind: .read, path: source.path, offset: 128 * 512, length: 65536),
                Access(kind: .write, path: destination.path, offset: 256 * 512, length: 65536),
            ])
    }

    @Test("has a later stretch on top of an earlier one", arguments: EngineKind.available)
    func order(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine)
        let source = try fixture.image("source", Self.random)
        let destination = try fixture.image("destination", Self.before)
        let stretches = [(10, 20), (0, 15), (12, 1), (29, 2), (5, 0)]
        let result = try await copy(
            fixture, IORegion(whole: source), [IORegion(whole: destination)], stretches: stretches)
        #expect(result == .success(Self.sectors))
        try expectContent(destination, Self.random.laying(stretches, from: Self.user))
    }

    @Test("does not read what the overlay covers", arguments: EngineKind.available, [1, 2048])
    func covered(engine: EngineKind, pages: Int) async throws {
        let plan = FaultPlan { $0.kind == .read ? .error(EIO) : nil }
        let fixture = try CopyFixture(engine, pages: pages, plan: plan)
        let source = try fixture.image("source", Self.random)
        let destination = try fixture.image("destination", Self.before)
        let stretches = [(1000, 2999), (0, 1000), (3999, 1), (4000, 96)]
        let result = try await copy(
            fixture, IORegion(whole: source), [IORegion(whole: destination)], [.sequential, .flush],
            stretches: stretches)
        #expect(result == .success(Self.sectors))
        #expect(plan.reads == [])
        try expectContent(destination, Self.before.laying(stretches, from: Self.user))
    }

    @Test("of no stretch is a copy", arguments: EngineKind.available)
    func empty(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine)
        let source = try fixture.image("source", Self.random)
        let destination = try fixture.image("destination", Self.before)
        let result = try await copy(fixture, IORegion(whole: source), [IORegion(whole: destination)], stretches: [])
        #expect(result == .success(Self.sectors))
        try expectContent(destination, Self.random)
    }

    @Test("writes nothing of a piece that it could not read", arguments: EngineKind.available)
    func readError(engine: EngineKind) async throws {
        let plan = FaultPlan { $0.kind == .read ? .error(EIO) : nil }
        let fixture = try CopyFixture(engine, plan: plan)
        let source = try fixture.image("source", Self.random)
        let destination = try fixture.image("destination", Self.before)
        let result = try await copy(
            fixture, IORegion(source, sector: 0, count: 128), [IORegion(destination, sector: 0, count: 128)],
            .ignoreErrors, stretches: [(8, 8)])
        #expect(result.readError && result.writeErrors == 0 && result.copied == 0)
        try expectContent(destination, Self.before)
    }

    @Test("verifies what was written with the overlay on it", arguments: EngineKind.available, [1, 2048])
    func verify(engine: EngineKind, pages: Int) async throws {
        let plan = FaultPlan()
        let fixture = try CopyFixture(engine, pages: pages, plan: plan)
        let source = try fixture.image("source", Self.random)
        let destinations = try (0..<2).map { try fixture.image("destination \($0)", Self.before) }
        let stretches = [(0, 1024), (2000, 7)]
        func run() async throws -> CopyResult {
            try await copy(
                fixture, IORegion(whole: source), destinations.map { IORegion(whole: $0) }, [.verify, .ignoreErrors],
                stretches: stretches)
        }
        #expect(try await run() == .success(Self.sectors))
        for device in destinations { try expectContent(device, Self.random.laying(stretches, from: Self.user)) }
        // A bit of what the second one returns below the overlay.
        plan.set { $0.path.hasSuffix("1") && $0.kind == .read && $0.range.contains(2003 * 512) ? .corrupt : nil }
        let result = try await run()
        #expect(result.writeErrors == 0b10 && result.faults.map(\.errno) == [EILSEQ])
    }

    @Test("looks for zeroes in the data with the overlay on it", arguments: EngineKind.available, [1, 2048])
    func detectZeroes(engine: EngineKind, pages: Int) async throws {
        let fixture = try CopyFixture(engine, pages: pages)
        let destination = try fixture.image("destination", Self.before)
        let region = IORegion(whole: destination)
        let data = try fixture.image("data", Self.random)
        let cleared = try await copy(
            fixture, IORegion(whole: data), [region], [.detectZeroes, .verify], stretches: [(0, 4000)],
            from: Self.zeroes)
        #expect(cleared == .success(Self.sectors))
        try expectContent(destination, Self.random.zeroing(0..<4000))
        #expect(try Bytes.allocated(destination.path) <= 96 * 512 + 65536)

        let empty = try fixture.image("empty", Self.zeroes)
        let stretches = [(80, 80), (999, 1)]
        let written = try await copy(
            fixture, IORegion(whole: empty), [region], [.detectZeroes, .verify], stretches: stretches)
        #expect(written == .success(Self.sectors))
        try expectContent(destination, Self.zeroes.laying(stretches, from: Self.user))
    }

    @Test("is not lost where the source has a hole", arguments: EngineKind.available, [1, 2048])
    func holes(engine: EngineKind, pages: Int) async throws {
        let fixture = try CopyFixture(engine, pages: pages)
        let source = try fixture.hole("source", bytes: Self.size)
        let destination = try fixture.image("destination", Self.before)
        let stretches = [(80, 80), (999, 1)]
        let result = try await copy(
            fixture, IORegion(whole: source), [IORegion(whole: destination)], .skipHoles, stretches: stretches)
        #expect(result == .success(Self.sectors))
        try expectContent(destination, Self.zeroes.laying(stretches, from: Self.user))
    }
}

@Suite("The scheduler with overlays")
struct SchedulerOverlayTests {
    /// Runs a job of one client to its end; what it read, in the order in which that ended.
    private func operations(
        _ driver: inout SchedulerDriver, pages: Int = 512, _ flags: CopyFlags = [], overlay: [SectorRange]
    ) -> (job: Int, reads: [SectorRange], isLinked: Bool) {
        let client = driver.client(pages)
        let job = driver.job(client, 4096, flags, overlay: overlay)
        var reads: [SectorRange] = []
        var isLinked = false
        driver.pump()
        while !driver.pending.isEmpty {
            if case .read(let piece) = driver.pending[0] { reads.append(driver.scheduler.pieces[piece].range) }
            if let piece = driver.pending[0].pieceOrNone, driver.scheduler.pieces[piece].isLinked { isLinked = true }
            driver.end(0)
        }
        return (job, reads, isLinked)
    }

    @Test("A read and its write are linked only where nothing is to be laid between them")
    func linking() {
        var driver = SchedulerDriver()
        #expect(operations(&driver, overlay: []).isLinked)
        driver = SchedulerDriver()
        let (job, reads, isLinked) = operations(&driver, overlay: [SectorRange(start: 8, count: 8)])
        #expect(!isLinked)
        #expect(reads.count == 4)
        #expect(driver.writes[job] == reads)
        #expect(driver.results[job]?.copied == 4096)
    }

    @Test("Only pieces that are covered to the last sector are not read")
    func covered() {
        var driver = SchedulerDriver()
        let overlay = [SectorRange(start: 0, count: 1023), SectorRange(start: 1024, count: 2048)]
        let (job, reads, _) = operations(&driver, overlay: overlay)
        #expect(reads.map(\.start) == [0, 3072])
        #expect(driver.writes[job]?.map(\.start).sorted() == [0, 1024, 2048, 3072])
        #expect(driver.results[job]?.copied == 4096)
    }

    @Test("Covered pieces of a sequential job wait for their turn, and for nothing behind an error")
    func sequential() {
        var driver = SchedulerDriver()
        let overlay = [SectorRange(start: 1024, count: 3072)]
        let (job, reads, _) = operations(&driver, .sequential, overlay: overlay)
        #expect(reads.map(\.start) == [0])
        #expect(driver.writes[job]?.map(\.start) == [0, 1024, 2048, 3072])
        driver = SchedulerDriver()
        driver.fault = { operation, _ in if case .read = operation { EIO } else { 0 } }
        let failed = operations(&driver, .sequential, overlay: overlay).job
        #expect(driver.writes[failed] == nil)
        #expect(driver.results[failed]?.readError == true)
    }

    @Test("A covered piece holds pages like any other, and gives them back")
    func pages() {
        var driver = SchedulerDriver()
        let client = driver.client(1)
        let job = driver.job(client, 64, to: 2, [.verify], overlay: [SectorRange(start: 0, count: 64)])
        driver.pump()
        #expect(driver.scheduler.clients[client].budget.free == 0)
        #expect(driver.pending.count == 2)
        driver.endAll()
        #expect(driver.scheduler.clients[client].budget.free == 1)
        #expect(driver.results[job]?.copied == 64)
    }

    @Test("Holes are not looked for")
    func holes() {
        var driver = SchedulerDriver()
        let client = driver.client()
        let job = driver.job(client, 1024, [.skipHoles], overlay: [SectorRange(start: 8, count: 8)])
        driver.pump()
        #expect(driver.pending.map(\.pieceOrNone) == [0])
        driver.endAll()
        #expect(driver.results[job]?.copied == 1024)
    }
}
