import BlockIO
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import KCopy

@Suite("An error")
struct ErrorTests {
    private static let sectors = 8192
    private static let contents = Bytes.random(sectors * 512, seed: 1)
    private static let before = Bytes.random(sectors * 512, seed: 2)
    /// A sector in the middle, off every boundary.
    private static let bad = 4501

    private static func touches(_ access: Access) -> Bool { access.range.contains(bad * 512) }

    /// 64 pages: pieces of 16 pages, 128 sectors.
    private func fixture(_ engine: EngineKind, _ plan: FaultPlan, pages: Int = 64) throws -> CopyFixture {
        try CopyFixture(engine, pages: pages, plan: plan)
    }

    private func devices(_ fixture: CopyFixture, destinations: Int) throws -> (BlockDevice, [BlockDevice]) {
        (
            try fixture.image("source", Self.contents),
            try (0..<destinations).map { try fixture.image("destination \($0)", Self.before) }
        )
    }

    /// The piece that holds the bad sector.
    private func piece(_ result: CopyResult) throws -> SectorRange {
        let fault = try #require(result.faults.first)
        #expect(fault.range.start <= UInt64(Self.bad) && fault.range.end > UInt64(Self.bad))
        return fault.range
    }

    /// Expects that a device holds the old content in `kept` and in what may be unwritten, and the new one elsewhere.
    private func expectPieces(_ device: BlockDevice, _ result: CopyResult, kept: SectorRange, size: Int) throws {
        let found = try Bytes.read(device.path, count: Self.contents.count)
        var written: UInt64 = 0
        for start in stride(from: 0, to: Self.sectors, by: size) {
            let bytes = start * 512..<min(start + size, Self.sectors) * 512
            let isNew = Bytes.agree(found, Self.contents, in: bytes)
            #expect(isNew || Bytes.agree(found, Self.before, in: bytes), "the piece at \(start) is torn")
            if start == Int(kept.start) { #expect(!isNew) }
            if start < Int(result.resumeAt) { #expect(isNew, "what comes before resumeAt is there") }
            if isNew { written += UInt64(bytes.count / 512) }
        }
        #expect(written == result.copied)
    }

    @Test(
        "of reading sets read_err; that piece is not written and no new pieces begin", arguments: EngineKind.available,
        [1, 3])
    func read(engine: EngineKind, count: Int) async throws {
        let plan = FaultPlan { $0.kind == .read && Self.touches($0) ? .error(EIO) : nil }
        let fixture = try fixture(engine, plan)
        let (source, destinations) = try devices(fixture, destinations: count)
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) })
        #expect(result.readError && result.writeErrors == 0 && !result.isCancelled)
        let piece = try piece(result)
        #expect(result.faults == [CopyFault(side: .source, range: piece, errno: EIO)])
        #expect(piece.count == 128)
        // At most what the budget allows at once was claimed behind it.
        let last = try #require(plan.reads.map(\.range.upperBound).max())
        #expect(last <= (Int(piece.end) + 4 * 128) * 512)
        #expect(result.resumeAt <= piece.start)
        #expect(!plan.writes.contains { count > 1 && Self.touches($0) })
        for destination in destinations { try expectPieces(destination, result, kept: piece, size: 128) }
        #expect(fixture.freePages == 64)
    }

    @Test("of reading under ignore-errors leaves only that piece out", arguments: EngineKind.available, [1, 3])
    func readIgnored(engine: EngineKind, count: Int) async throws {
        let plan = FaultPlan { $0.kind == .read && Self.touches($0) ? .error(EIO) : nil }
        let fixture = try fixture(engine, plan)
        let (source, destinations) = try devices(fixture, destinations: count)
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) }, flags: .ignoreErrors)
        #expect(result.readError && result.writeErrors == 0)
        let piece = try piece(result)
        #expect(result.copied == UInt64(Self.sectors) - piece.count)
        #expect(result.resumeAt == piece.start)
        let expected = Self.contents.replacing(
            sector: Int(piece.start), count: Int(piece.count), from: Self.before, sector: Int(piece.start))
        for destination in destinations { try expectContent(destination, expected) }
    }

    @Test(
        "of writing sets that destination's bit; the others get the piece", arguments: EngineKind.available,
        [EIO, ENOSPC])
    func write(engine: EngineKind, error: Int32) async throws {
        let plan = FaultPlan { $0.kind == .write && $0.path.hasSuffix("1") && Self.touches($0) ? .error(error) : nil }
        let fixture = try fixture(engine, plan)
        let (source, destinations) = try devices(fixture, destinations: 3)
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) })
        #expect(!result.readError && result.writeErrors == 0b010)
        let piece = try piece(result)
        #expect(result.faults == [CopyFault(side: .destination(1), range: piece, errno: error)])
        #expect(result.resumeAt <= piece.start)
        let bytes = Int(piece.start) * 512..<Int(piece.end) * 512
        for (index, destination) in destinations.enumerated() {
            let found = try Bytes.read(destination.path, at: bytes.lowerBound, count: bytes.count)
            #expect(found == Array(index == 1 ? Self.before[bytes] : Self.contents[bytes]))
        }
        let last = try #require(plan.reads.map(\.range.upperBound).max())
        #expect(last <= (Int(piece.end) + 4 * 128) * 512)
    }

    @Test("of writing under ignore-errors leaves the other destinations complete", arguments: EngineKind.available)
    func writeIgnored(engine: EngineKind) async throws {
        let plan = FaultPlan { $0.kind == .write && $0.path.hasSuffix("1") ? .error(ENOSPC) : nil }
        let fixture = try fixture(engine, plan)
        let (source, destinations) = try devices(fixture, destinations: 3)
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) }, flags: [.ignoreErrors, .flush])
        #expect(!result.readError && result.writeErrors == 0b010)
        #expect(result.copied == 0 && result.resumeAt == 0)
        #expect(result.faults.map(\.range.count).reduce(0, +) <= UInt64(Self.sectors))
        try expectContent(destinations[0], Self.contents)
        try expectContent(destinations[1], Self.before)
        try expectContent(destinations[2], Self.contents)
    }

    @Test("of every piece is told as few faults, and no more than the most", arguments: EngineKind.available)
    func manyFaults(engine: EngineKind) async throws {
        // Every other piece.
        let plan = FaultPlan { $0.kind == .read && $0.offset / (128 * 512) % 2 == 0 ? .error(EIO) : nil }
        let fixture = try fixture(engine, plan)
        let (source, destinations) = try devices(fixture, destinations: 2)
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) }, flags: .ignoreErrors)
        #expect(result.faults.count == CopyResult.mostFaults)
        #expect(result.copied == UInt64(Self.sectors / 2))
        #expect(result.resumeAt == 0)
    }

    @Test("in a linked pair is told on the right side", arguments: EngineKind.available, [true, false])
    func linked(engine: EngineKind, ignore: Bool) async throws {
        for kind in [IOOperation.Kind.read, .write] {
            let plan = FaultPlan { $0.kind == kind && Self.touches($0) ? .error(EIO) : nil }
            let fixture = try fixture(engine, plan)
            let (source, destinations) = try devices(fixture, destinations: 1)
            let result = try await fixture.client.copied(
                from: IORegion(whole: source), to: [IORegion(whole: destinations[0])],
                flags: ignore ? .ignoreErrors : [])
            #expect(result.readError == (kind == .read))
            #expect(result.writeErrors == (kind == .write ? 1 : 0))
            let piece = try piece(result)
            #expect(result.faults.count == 1)
            try expectPieces(destinations[0], result, kept: piece, size: 128)
            if ignore { #expect(result.copied == UInt64(Self.sectors) - 128) }
        }
    }

    @Test("that is none: short and interrupted transfers are carried on", arguments: EngineKind.available, [1, 3])
    func carriedOn(engine: EngineKind, count: Int) async throws {
        let plan = FaultPlan { access in
            switch access.offset / 512 % 5 {
            case 0 where access.length > 1024: .short(1024)
            case 1 where access.length > 4096: .short(access.length - 512)
            case 2 where access.length % 1024 == 0: .short(512)
            default: nil
            }
        }
        let fixture = try fixture(engine, plan)
        let (source, destinations) = try devices(fixture, destinations: count)
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) }, flags: .verify)
        #expect(result == .success(Self.sectors))
        for destination in destinations { try expectContent(destination, Self.contents) }
        let unverified = try await fixture.client.copied(
            from: IORegion(destinations[0], sector: 1, count: 8000), to: [IORegion(source, sector: 0, count: 8000)])
        #expect(unverified == .success(8000))
        try expectContent(source, Self.contents.replacing(sector: 0, count: 8000, from: Self.contents, sector: 1))
    }

    @Test(
        "of reading in a sequential copy ends it, with all before it written", arguments: EngineKind.available,
        [0, 4501, 8191])
    func sequentialRead(engine: EngineKind, sector: Int) async throws {
        for count in [1, 3] {
            let plan = FaultPlan { $0.kind == .read && $0.range.contains(sector * 512) ? .error(EIO) : nil }
            let fixture = try fixture(engine, plan)
            let (source, destinations) = try devices(fixture, destinations: count)
            let result = try await fixture.client.copied(
                from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) },
                flags: [.sequential, .ignoreErrors])
            #expect(result.readError && result.writeErrors == 0)
            let start = sector / 128 * 128
            #expect(result.resumeAt == UInt64(start) && result.copied == UInt64(start))
            for destination in destinations {
                try expectContent(
                    destination, Self.before.replacing(sector: 0, count: start, from: Self.contents, sector: 0))
            }
            #expect(fixture.freePages == 64)
        }
    }

    @Test(
        "of writing in a sequential copy leaves later pieces unwritten", arguments: EngineKind.available,
        [0, 4501, 8191])
    func sequentialWrite(engine: EngineKind, sector: Int) async throws {
        let plan = FaultPlan {
            $0.kind == .write && $0.path.hasSuffix("1") && $0.range.contains(sector * 512) ? .error(EIO) : nil
        }
        let fixture = try fixture(engine, plan)
        let (source, destinations) = try devices(fixture, destinations: 2)
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) }, flags: .sequential)
        #expect(!result.readError && result.writeErrors == 0b10)
        let start = sector / 128 * 128
        #expect(result.resumeAt == UInt64(start) && result.copied == UInt64(start))
        // The piece of the error reached the other destination; behind it nothing was written anywhere.
        try expectContent(
            destinations[0], Self.before.replacing(sector: 0, count: start + 128, from: Self.contents, sector: 0))
        try expectContent(
            destinations[1], Self.before.replacing(sector: 0, count: start, from: Self.contents, sector: 0))
    }

    @Test("of a device that has got shorter names the end", arguments: EngineKind.available)
    func shrunk(engine: EngineKind) async throws {
        let plan = FaultPlan()
        let fixture = try fixture(engine, plan)
        let (source, destinations) = try devices(fixture, destinations: 1)
        #expect(truncate(source.path, off_t(Self.bad * 512)) == 0)
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: [IORegion(whole: destinations[0])], flags: .ignoreErrors)
        #expect(result.readError && result.writeErrors == 0)
        #expect(result.faults.allSatisfy { $0.errno == ENODATA })
        #expect(result.resumeAt == UInt64(Self.bad / 128 * 128))
        try expectContent(
            destinations[0],
            Self.before.replacing(sector: 0, count: Self.bad / 128 * 128, from: Self.contents, sector: 0))
    }

    @Test(
        "of a full file system is ENOSPC on that destination",
        .enabled(if: getuid() == 0 && Program.exist("mount", "umount")), arguments: EngineKind.available)
    func full(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine, pages: 64)
        let point = fixture.directory.file("small")
        #expect(mkdir(point, 0o700) == 0)
        try Program.succeed("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", point)
        defer { _ = try? Program.run(["umount", point]) }
        let source = try fixture.image("source", Self.contents)
        let good = try fixture.image("good", Self.before)
        let path = try fixture.directory.image("small/full", bytes: UInt64(Self.contents.count))
        let full = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
        defer { full.close() }
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: [IORegion(whole: good), IORegion(whole: full)], flags: .ignoreErrors)
        #expect(result.writeErrors == 0b10 && !result.readError)
        #expect(result.faults.allSatisfy { $0.errno == ENOSPC && $0.side == .destination(1) })
        try expectContent(good, Self.contents)
    }
}
