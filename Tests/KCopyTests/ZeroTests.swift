import BlockIO
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import KCopy

@Suite("Zeroing")
struct ZeroTests {
    private static let before = Bytes.random(10 << 20, seed: 2)

    @Test("an image file makes a hole of exactly the region", arguments: EngineKind.available, CopyContentTests.sizes)
    func file(engine: EngineKind, size: Int) async throws {
        let fixture = try CopyFixture(engine, pages: 1)
        let device = try fixture.image("device", Self.before)
        let result = try await fixture.client.zeroed(
            [IORegion(device, sector: 9, count: UInt64(size / 512))], flags: .flush)
        #expect(result == .success(size / 512))
        try expectContent(device, Self.before.zeroing(9..<9 + size / 512))
        #expect(try Bytes.allocated(device.path) <= Self.before.count - size + 8192)
    }

    @Test("eight regions at once zeroes each", arguments: EngineKind.available)
    func eight(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine, pages: 1)
        let devices = try (0..<7).map { try fixture.image("device \($0)", Self.before) }
        var regions = devices.enumerated().map { IORegion($1, sector: UInt64($0 * 3), count: 5000) }
        regions.append(IORegion(devices[6], sector: 6000, count: 5000))
        #expect(try await fixture.client.zeroed(regions) == .success(5000))
        for (index, device) in devices.dropLast().enumerated() {
            try expectContent(device, Self.before.zeroing(index * 3..<index * 3 + 5000))
        }
        try expectContent(devices[6], Self.before.zeroing(18..<5018).zeroing(6000..<11000))
    }

    @Test(
        "is done by writing where a device refuses it at run time", arguments: EngineKind.available,
        [EOPNOTSUPP, EIO, EINVAL])
    func fallback(engine: EngineKind, error: Int32) async throws {
        let plan = FaultPlan { $0.kind == .writeZeroes ? .error(error) : nil }
        let fixture = try CopyFixture(engine, pages: 1, plan: plan)
        let device = try fixture.image("device", Self.before)
        let other = try fixture.image("other", Self.before)
        let result = try await fixture.client.zeroed(
            [IORegion(device, sector: 9, count: 9000), IORegion(other, sector: 1, count: 9000)], flags: .verify)
        #expect(result == .success(9000))
        try expectContent(device, Self.before.zeroing(9..<9009))
        try expectContent(other, Self.before.zeroing(1..<9001))
    }

    @Test("tells the error of the write that should have done it", arguments: EngineKind.available)
    func fallbackFails(engine: EngineKind) async throws {
        let plan = FaultPlan { access in
            if access.kind == .writeZeroes { return .error(EOPNOTSUPP) }
            return access.kind == .write && access.path.hasSuffix("bad") ? .error(ENOSPC) : nil
        }
        let fixture = try CopyFixture(engine, pages: 1, plan: plan)
        let good = try fixture.image("good", Self.before)
        let bad = try fixture.image("bad", Self.before)
        let result = try await fixture.client.zeroed([
            IORegion(good, sector: 0, count: 1024), IORegion(bad, sector: 0, count: 1024),
        ])
        #expect(result.writeErrors == 0b10)
        #expect(!result.readError)
        #expect(result.faults.map(\.errno) == [ENOSPC])
        #expect(result.resumeAt == 0)
        try expectContent(good, Self.before.zeroing(0..<1024))
        try expectContent(bad, Self.before)
    }

    @Test(
        "a block device zeroes the region", .enabled(if: LoopDevice.isPossible), arguments: EngineKind.available,
        [true, false])
    func blockDevice(engine: EngineKind, refused: Bool) async throws {
        let plan = FaultPlan { $0.kind == .writeZeroes && refused ? .error(EOPNOTSUPP) : nil }
        let fixture = try CopyFixture(engine, pages: 1, plan: plan)
        try await LoopDevice.with(try fixture.directory.image("disk", contents: Self.before)) { path in
            let device = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
            defer { device.close() }
            #expect(try await fixture.client.zeroed([IORegion(device, sector: 9, count: 9000)]) == .success(9000))
            try expectContent(device, Self.before.zeroing(9..<9009))
        }
    }
}
