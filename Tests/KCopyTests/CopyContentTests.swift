import BlockIO
import SystemPackage
import TestSupport
import Testing

@testable import KCopy

@Suite("A copy")
struct CopyContentTests {
    /// Sizes around that of a piece, in bytes.
    static let sizes = [512, 4096, (512 << 10) - 512, 512 << 10, (1 << 20) + (256 << 10), (9 << 20) + 512]
    private static let random = Bytes.random(10 << 20, seed: 1)
    private static let other = Bytes.random(10 << 20, seed: 2)

    @Test(
        "of any size holds every byte at its destinations, and leaves those beside them alone",
        arguments: EngineKind.available, sizes)
    func everySize(engine: EngineKind, size: Int) async throws {
        let fixture = try CopyFixture(engine)
        let source = try fixture.image("source", Self.random, access: .readOnly)
        let count = size / 512
        let one = try fixture.image("one", Self.other)
        let result = try await fixture.client.copied(
            from: IORegion(source, sector: 3, count: UInt64(count)),
            to: [IORegion(one, sector: 7, count: UInt64(count))])
        #expect(result == .success(count))
        try expectContent(one, Self.other.replacing(sector: 7, count: count, from: Self.random, sector: 3))

        // Eight regions of one device and seven others, at different places.
        var regions = [IORegion(one, sector: 100, count: UInt64(count))]
        for index in 1..<8 {
            let device = try fixture.image("destination \(index)", Array(Self.other[..<(size + 32 * 512)]))
            regions.append(IORegion(device, sector: UInt64(index), count: UInt64(count)))
        }
        let fanned = try await fixture.client.copied(
            from: IORegion(source, sector: 0, count: UInt64(count)), to: regions)
        #expect(fanned == .success(count))
        for region in regions.dropFirst() {
            let before = Array(Self.other[..<(size + 32 * 512)])
            try expectContent(
                region.device,
                before.replacing(sector: Int(region.range.start), count: count, from: Self.random, sector: 0))
        }
        #expect(fixture.freePages == 2048)
    }

    @Test("fits into any budget", arguments: EngineKind.available, [1, 2, 3, 5, 127, 2048])
    func budgets(engine: EngineKind, pages: Int) async throws {
        let fixture = try CopyFixture(engine, pages: pages)
        let contents = Array(Self.random[..<((2 << 20) + 512)])
        let source = try fixture.image("source", contents)
        let destinations = try (0..<3).map { try fixture.hole("destination \($0)", bytes: contents.count) }
        let result = try await fixture.client.copied(
            from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) })
        #expect(result == .success(contents.count / 512))
        for destination in destinations { try expectContent(destination, contents) }
        #expect(fixture.freePages == pages)
        let linked = try await fixture.client.copied(
            from: IORegion(destinations[0], sector: 1, count: 4096), to: [IORegion(source, sector: 0, count: 4096)])
        #expect(linked == .success(4096))
        try expectContent(source, contents.replacing(sector: 0, count: 4096, from: contents, sector: 1))
    }

    @Test("of nothing completes at once", arguments: EngineKind.available)
    func nothing(engine: EngineKind) async throws {
        let plan = FaultPlan()
        let fixture = try CopyFixture(engine, plan: plan)
        let source = try fixture.image("source", Array(Self.random[..<4096]))
        let destination = try fixture.image("destination", Array(Self.other[..<4096]))
        for sector in [0, 5, 8] as [UInt64] {
            let region = IORegion(destination, sector: sector, count: 0)
            let copied = try await fixture.client.copied(
                from: IORegion(source, sector: 8, count: 0), to: [region, region], flags: [.flush, .verify, .skipHoles])
            #expect(copied == .success(0))
            #expect(try await fixture.client.zeroed([region]) == .success(0))
        }
        #expect(plan.log == [])
        try expectContent(destination, Array(Self.other[..<4096]))
    }

    @Test("between regions of one device that touch is no overlap", arguments: EngineKind.available)
    func neighbours(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine)
        let contents = Array(Self.random[..<(3 << 20)])
        let device = try fixture.image("device", contents)
        let result = try await fixture.client.copied(
            from: IORegion(device, sector: 2048, count: 2048),
            to: [IORegion(device, sector: 0, count: 2048), IORegion(device, sector: 4096, count: 2048)])
        #expect(result == .success(2048))
        try expectContent(
            device,
            contents.replacing(sector: 0, count: 2048, from: contents, sector: 2048)
                .replacing(sector: 4096, count: 2048, from: contents, sector: 2048))
    }

    @Test(
        "between block devices, large blocks among them, is cut on their blocks",
        .enabled(if: LoopDevice.canHaveLargeBlocks),
        arguments: EngineKind.available, [1, 2, 3, 127, 2048])
    func blockDevices(engine: EngineKind, pages: Int) async throws {
        let fixture = try CopyFixture(engine, pages: pages)
        let contents = Array(Self.random[..<(2 << 20)])
        let images = try (0..<3).map {
            try fixture.directory.image("disk \($0)", contents: $0 == 0 ? contents : Array(Self.other[..<(2 << 20)]))
        }
        try await LoopDevice.with(images[0], options: ["--sector-size", "512"]) { source in
            try await LoopDevice.with(images[1], options: ["--sector-size", "4096"]) { large in
                try await LoopDevice.with(images[2], options: ["--sector-size", "512"]) { small in
                    let devices = try [source, large, small].map {
                        try BlockDevice.open(FilePath($0), access: .readWrite, claim: true)
                    }
                    defer { for device in devices { device.close() } }
                    let result = try await fixture.client.copied(
                        from: IORegion(devices[0], sector: 8, count: 4080),
                        to: [
                            IORegion(devices[1], sector: 16, count: 4080), IORegion(devices[2], sector: 0, count: 4080),
                        ],
                        flags: [.verify, .flush])
                    #expect(result == .success(4080))
                    let before = Array(Self.other[..<(2 << 20)])
                    try expectContent(devices[1], before.replacing(sector: 16, count: 4080, from: contents, sector: 8))
                    try expectContent(devices[2], before.replacing(sector: 0, count: 4080, from: contents, sector: 8))
                }
            }
        }
    }
}

extension CopyResult {
    /// Everything was copied.
    static func success(_ count: Int) -> CopyResult {
        var result = CopyResult()
        result.copied = UInt64(count)
        result.resumeAt = UInt64(count)
        return result
    }
}
