import BlockIO
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import KCopy

@Suite("A copy with flags")
struct FlagTests {
    private static let size = 8 << 20
    private static let sectors = size / 512
    private static let random = Bytes.random(size, seed: 1)
    private static let ones = [UInt8](repeating: 0xFF, count: size)
    private static let data = [(0, 8), (800, 300), (4096, 1), (9000, 2000), (16000, 8)]
    /// Mostly zeroes: data of some sizes at some places, one of them off the page.
    private static let sparse: [UInt8] = {
        var bytes = Bytes.replacing(random, sector: 0, count: sectors, from: nil)
        for (sector, count) in data {
            bytes = bytes.replacing(sector: sector, count: count, from: random, sector: sector)
        }
        return bytes
    }()

    /// A file with holes wherever a page of the content is zeroes.
    private func sparseImage(_ fixture: CopyFixture, _ name: String) throws -> BlockDevice {
        let device = try fixture.hole(name, bytes: Self.size)
        for (sector, count) in Self.data {
            let bytes = sector * 512..<(sector + count) * 512
            try Bytes.write(Array(Self.sparse[bytes]), to: device.path, at: bytes.lowerBound)
        }
        return device
    }

    @Test(
        "skip holes: reads no hole, and destinations hold zeroes there without storing them",
        arguments: EngineKind.available, [3, 2048])
    func skipHoles(engine: EngineKind, pages: Int) async throws {
        let plan = FaultPlan()
        let fixture = try CopyFixture(engine, pages: pages, plan: plan)
        let source = try sparseImage(fixture, "source")
        let destinations = try (0..<2).map { try fixture.image("destination \($0)", Self.ones) }
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) }, flags: .skipHoles)
        #expect(result == .success(Self.sectors))
        for destination in destinations {
            try expectContent(destination, Self.sparse)
            #expect(try Bytes.allocated(destination.path) <= Self.size / 4)
        }
        let read = plan.reads.map(\.length).reduce(0, +)
        #expect(read <= Self.size / 4 && read >= 2317 * 512)
        let part = try fixture.image("part", Self.ones)
        let some = try await fixture.client.copied(
            from: IORegion(source, sector: 405, count: 9000), to: [IORegion(part, sector: 3, count: 9000)],
            flags: [.skipHoles, .verify])
        #expect(some == .success(9000))
        try expectContent(part, Self.ones.replacing(sector: 3, count: 9000, from: Self.sparse, sector: 405))
    }

    @Test("skip holes: more stretches than are asked for at once", arguments: EngineKind.available)
    func manyHoles(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine)
        let source = try fixture.hole("source", bytes: Self.size)
        var expected = Self.ones.zeroing(0..<Self.sectors)
        for page in stride(from: 1, to: Self.size / 4096, by: 4) {
            try Bytes.write(Array(Self.random[page * 4096..<(page + 1) * 4096]), to: source.path, at: page * 4096)
            expected = expected.replacing(sector: page * 8, count: 8, from: Self.random, sector: page * 8)
        }
        let destination = try fixture.image("destination", Self.ones)
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: [IORegion(whole: destination)], flags: [.skipHoles, .sequential])
        #expect(result == .success(Self.sectors))
        try expectContent(destination, expected)
    }

    @Test("detect zeroes: destinations hold them without storing them", arguments: EngineKind.available, [3, 2048])
    func detectZeroes(engine: EngineKind, pages: Int) async throws {
        let fixture = try CopyFixture(engine, pages: pages)
        let source = try fixture.image("source", Self.sparse)
        let destinations = try (0..<2).map { try fixture.image("destination \($0)", Self.ones) }
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) },
            flags: [.detectZeroes, .verify])
        #expect(result == .success(Self.sectors))
        for destination in destinations {
            try expectContent(destination, Self.sparse)
            #expect(try Bytes.allocated(destination.path) <= Self.size / 4)
        }
    }

    @Test("verify: passes, and reads every destination once", arguments: EngineKind.available, [1, 2048])
    func verify(engine: EngineKind, pages: Int) async throws {
        let plan = FaultPlan()
        let fixture = try CopyFixture(engine, pages: pages, plan: plan)
        let contents = Array(Self.random[..<(1 << 20)])
        let source = try fixture.image("source", contents)
        let destinations = try (0..<3).map { try fixture.hole("destination \($0)", bytes: contents.count) }
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) }, flags: .verify)
        #expect(result == .success(2048))
        for device in [source] + destinations {
            #expect(plan.reads.filter { $0.path == device.path }.map(\.length).reduce(0, +) == contents.count)
        }
    }

    @Test(
        "verify: finds a single bit that a destination returns differently", arguments: EngineKind.available,
        [1, 3, 2048])
    func verifyFinds(engine: EngineKind, pages: Int) async throws {
        // The piece of destination 1 that holds sector 1500.
        let plan = FaultPlan { access in
            access.kind == .read && access.path.hasSuffix("destination 1") && access.range.contains(1500 * 512)
                ? .corrupt : nil
        }
        let fixture = try CopyFixture(engine, pages: pages, plan: plan)
        let contents = Array(Self.random[..<(1 << 20)])
        let source = try fixture.image("source", contents)
        let destinations = try (0..<3).map { try fixture.hole("destination \($0)", bytes: contents.count) }
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) },
            flags: [.verify, .ignoreErrors])
        #expect(result.writeErrors == 0b010)
        #expect(!result.readError)
        let fault = try #require(result.faults.first)
        #expect(result.faults.count == 1)
        #expect(fault.errno == EILSEQ && fault.side == .destination(1))
        #expect(fault.range.start <= 1500 && fault.range.end > 1500)
        #expect(result.copied == 2048 - fault.range.count)
        #expect(result.resumeAt == fault.range.start)
        for destination in destinations { try expectContent(destination, contents) }
    }

    @Test("verify: finds what is left where zeroes should be", arguments: EngineKind.available)
    func verifyZeroes(engine: EngineKind) async throws {
        let plan = FaultPlan { $0.kind == .read ? .corrupt : nil }
        let fixture = try CopyFixture(engine, pages: 16, plan: plan)
        let device = try fixture.image("device", Array(Self.random[..<(1 << 20)]))
        let result = try await fixture.client.zeroed([IORegion(whole: device)], flags: .verify)
        #expect(result.writeErrors == 1)
        #expect(result.faults.first?.errno == EILSEQ)
    }

    @Test("flush: every destination, after the last write", arguments: EngineKind.available)
    func flush(engine: EngineKind) async throws {
        let plan = FaultPlan()
        let fixture = try CopyFixture(engine, pages: 64, plan: plan)
        let source = try fixture.image("source", Array(Self.random[..<(1 << 20)]))
        let destinations = try (0..<3).map { try fixture.hole("destination \($0)", bytes: 1 << 20) }
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) }, flags: .flush)
        #expect(result == .success(2048))
        #expect(plan.log.suffix(3).map(\.kind) == [.flush, .flush, .flush])
        #expect(Set(plan.log.suffix(3).map(\.path)) == Set(destinations.map(\.path)))
        #expect(plan.log.count { $0.kind == .flush } == 3)
    }

    @Test("flush: one that fails is a write error, and nothing counts as copied", arguments: EngineKind.available)
    func flushFails(engine: EngineKind) async throws {
        let plan = FaultPlan { $0.kind == .flush && $0.path.hasSuffix("1") ? .error(EIO) : nil }
        let fixture = try CopyFixture(engine, plan: plan)
        let source = try fixture.image("source", Array(Self.random[..<(1 << 20)]))
        let destinations = try (0..<2).map { try fixture.hole("destination \($0)", bytes: 1 << 20) }
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) }, flags: .flush)
        #expect(result.writeErrors == 0b10)
        #expect(result.faults.map(\.errno) == [EIO])
        #expect(result.copied == 0, "what it reports is durable")
        #expect(result.resumeAt == 0)
    }

    @Test(
        "sequential: writes ascend one at a time while reads run ahead", arguments: EngineKind.available, [1, 4, 2048])
    func sequential(engine: EngineKind, pages: Int) async throws {
        let plan = FaultPlan()
        let fixture = try CopyFixture(engine, pages: pages, plan: plan)
        let contents = Array(Self.random[..<(4 << 20)])
        let source = try fixture.image("source", contents)
        let destinations = try (0..<2).map { try fixture.image("destination \($0)", Array(Self.ones[..<(4 << 20)])) }
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) }, flags: .sequential)
        #expect(result == .success(8192))
        for destination in destinations {
            let writes = plan.writes.filter { $0.path == destination.path }.map(\.offset)
            #expect(writes == writes.sorted())
            try expectContent(destination, contents)
        }
        if pages > 1 {
            let firstWrite = try #require(plan.log.firstIndex { $0.kind == .write })
            #expect(firstWrite > 1, "more than one read before the first write")
        }
    }
}
