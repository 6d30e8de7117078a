import BlockIO
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import KCopy

@Suite("A request that breaks a rule")
struct RegionRulesTests {
    let plan = FaultPlan()
    let fixture: CopyFixture
    let source: BlockDevice
    let destination: BlockDevice
    private let contents = Bytes.random(1 << 20, seed: 1)
    private let before = Bytes.random(1 << 20, seed: 2)

    init() throws {
        fixture = try CopyFixture(.blocking, pages: 64, plan: plan)
        source = try fixture.image("source", contents)
        destination = try fixture.image("destination", before)
    }

    private func region(_ device: BlockDevice, _ sector: UInt64, _ count: UInt64) -> IORegion {
        IORegion(device, sector: sector, count: count)
    }

    /// Expects a refusal, and that nothing was started.
    private func refusal(
        from: IORegion?, to: [IORegion], flags: CopyFlags = [], overlay: CopyOverlay? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> CopyError {
        let error = #expect(throws: CopyError.self, sourceLocation: sourceLocation) {
            if let from {
                try fixture.client.copy(from: from, to: to, flags: flags, overlay: overlay) { _ in
                    Issue.record("completed")
                }
            } else {
                try fixture.client.zero(to, flags: flags) { _ in Issue.record("completed") }
            }
        }
        #expect(plan.log == [], sourceLocation: sourceLocation)
        return try #require(error)
    }

    @Test("by its number of destinations is refused with the limit")
    func destinations() throws {
        for (count, shown) in [(0, "there are 0"), (9, "there are 9")] {
            let regions = (0..<count).map { region(destination, UInt64($0 * 8), 8) }
            for from in [region(source, 0, 8), nil] {
                let error = try refusal(from: from, to: regions)
                #expect(error.code == .invalidArgument && error.errno == .invalidArgument)
                #expect(error.description == "destinations: \(shown), and 1 to 8 are possible")
            }
        }
    }

    @Test("by a flag that does not exist is refused with the bits")
    func flags() throws {
        let error = try refusal(
            from: region(source, 0, 8), to: [region(destination, 0, 8)], flags: [.verify, .init(rawValue: 0x11)])
        #expect(error.code == .invalidArgument && error.errno == .invalidArgument)
        #expect(error.description == "flags: 0x11 is no flag of a copy")
    }

    @Test(
        "by an overlay that is not made of sectors of the region is refused with its place",
        arguments: [
            (1, 512, .unaligned, "does not fall on sectors"), (0, 511, .unaligned, "does not fall on sectors"),
            (0, 8192 + 512, .outOfRange, "does not fit on a region of 8192 bytes"),
            (8192, 512, .outOfRange, "does not fit on a region of 8192 bytes"),
            (0xffff_ffff_ffff_fe00, 1024, .outOfRange, "does not fit on a region of 8192 bytes"),
        ] as [(UInt64, Int, CopyError.Code, String)])
    func overlay(offset: UInt64, length: Int, code: CopyError.Code, reason: String) throws {
        let error = try contents.withUnsafeBytes { bytes in
            try refusal(
                from: region(source, 0, 16), to: [region(destination, 0, 16)],
                overlay: CopyOverlay([
                    .init(UnsafeRawBufferPointer(rebasing: bytes[..<8192]), at: 0),
                    .init(UnsafeRawBufferPointer(rebasing: bytes[..<length]), at: offset),
                ]))
        }
        #expect(error.code == code && error.errno == .invalidArgument)
        #expect(error.description == "overlay: stretch 1, bytes \(offset)+\(length), \(reason)")
    }

    @Test("by the number of an overlay's stretches is refused with the limit")
    func stretches() throws {
        let error = try contents.withUnsafeBytes { bytes in
            let stretch = CopyOverlay.Stretch(UnsafeRawBufferPointer(rebasing: bytes[..<512]), at: 0)
            return try refusal(
                from: region(source, 0, 16), to: [region(destination, 0, 16)],
                overlay: CopyOverlay(Array(repeating: stretch, count: 65)))
        }
        #expect(error.code == .invalidArgument && error.errno == .invalidArgument)
        #expect(error.description == "overlay: there are 65 stretches, and at most 64 are possible")
    }

    @Test("by different counts is refused with both")
    func counts() throws {
        let error = try refusal(
            from: region(source, 0, 16), to: [region(destination, 0, 16), region(destination, 16, 8)])
        #expect(error.code == .countMismatch && error.errno == .invalidArgument)
        #expect(error.description == "\(destination.path): destination 1 has 8 sectors where 16 are to be written")
        let zero = try refusal(from: nil, to: [region(destination, 0, 16), region(destination, 16, 24)])
        #expect(zero.code == .countMismatch)
        #expect(zero.reason == "destination 1 has 24 sectors where 16 are to be written")
    }

    @Test(
        "by leaving its device is refused with the size",
        arguments: [(2040, 16), (2048, 8), (5000, 8), (0, 2049)] as [(UInt64, UInt64)])
    func range(sector: UInt64, count: UInt64) throws {
        let error = try refusal(from: region(source, sector, count), to: [region(destination, 0, count)])
        #expect(error.code == .outOfRange && error.errno == .invalidArgument)
        #expect(error.description == "\(source.path): source needs sectors \(sector)+\(count), and the device has 2048")
        let zero = try refusal(from: nil, to: [region(destination, 0, count), region(destination, sector, count)])
        #expect(zero.code == .outOfRange)
    }

    @Test("by numbers that wrap around is refused")
    func wrap() throws {
        let error = try refusal(from: region(source, .max - 7, 16), to: [region(destination, 0, 16)])
        #expect(error.code == .outOfRange)
        let large = try refusal(from: region(source, 0, .max), to: [region(destination, 8, .max)])
        #expect(large.code == .outOfRange)
    }

    @Test(
        "by overlapping regions is refused with both",
        arguments: [(0, 15), (8, 8), (15, 0), (4, 4)] as [(UInt64, UInt64)])
    func overlap(first: UInt64, second: UInt64) throws {
        let within = try refusal(
            from: region(source, 0, 16), to: [region(destination, first, 16), region(destination, second, 16)])
        #expect(within.code == .overlap && within.errno == .invalidArgument)
        #expect(
            within.description
                == "\(destination.path): destination 1, sectors \(second)+16, overlaps destination 0, sectors \(first)+16"
        )
        let self_ = try refusal(
            from: region(source, first, 16), to: [region(destination, 0, 16), region(source, second, 16)])
        #expect(self_.code == .overlap)
        #expect(
            self_.description
                == "\(source.path): destination 1, sectors \(second)+16, overlaps the source, sectors \(first)+16")
    }

    @Test("by regions that overlap under another name is refused")
    func overlapByLink() throws {
        let link = fixture.directory.file("link")
        #expect(Glibc.link(source.path, link) == 0)
        let other = try fixture.open(link)
        let error = try refusal(from: region(source, 0, 16), to: [region(other, 8, 16)])
        #expect(error.code == .overlap)
        #expect(error.object == link)
    }

    @Test("by devices that do not allow it is refused")
    func access() throws {
        let readOnly = try fixture.open(source.path, .readOnly)
        let writeOnly = try fixture.open(destination.path, .writeOnly)
        let read = try refusal(from: region(writeOnly, 0, 8), to: [region(source, 0, 8)])
        #expect(read.code == .accessDenied && read.errno == .notPermitted)
        #expect(read.description == "\(destination.path): source is not open for reading")
        let write = try refusal(from: region(destination, 0, 8), to: [region(readOnly, 0, 8)])
        #expect(write.code == .accessDenied)
        #expect(write.description == "\(source.path): destination 0 is not open for writing")
        let verify = try refusal(from: region(source, 0, 8), to: [region(writeOnly, 0, 8)], flags: .verify)
        #expect(verify.code == .accessDenied)
        #expect(verify.reason == "destination 0 is not open for reading")
        let zero = try refusal(from: nil, to: [region(readOnly, 0, 8)])
        #expect(zero.code == .accessDenied)
    }

    @Test("by a closed device or a client that is gone is refused, and devices can be closed afterwards")
    func closed() throws {
        let closed = try fixture.open(try fixture.directory.image("closed", bytes: 4096))
        closed.close()
        for (from, to) in [(source, closed), (closed, destination)] {
            let error = try refusal(from: region(from, 0, 8), to: [region(to, 0, 8)])
            #expect(error.code == .closed && error.errno == .badFileDescriptor)
            #expect(error.object == closed.path)
        }
        fixture.client.destroy()
        let error = try refusal(from: region(source, 0, 8), to: [region(destination, 0, 8)])
        #expect(error.code == .closed)
        #expect(error.description == "client: the client is being destroyed")
        for device in [source, destination] {
            device.close()
            #expect(OpenDescriptors.count(of: device.path) == 0, "no use of \(device.path) was left behind")
        }
    }

    @Test("leaves its devices untouched and closable")
    func untouched() throws {
        _ = try refusal(from: region(source, 0, 16), to: [region(destination, 0, 16), region(destination, 8, 16)])
        try expectContent(destination, before)
        for device in [source, destination] {
            device.close()
            #expect(OpenDescriptors.count(of: device.path) == 0)
        }
    }

    @Test(
        "of the devices' blocks is refused with the block", .enabled(if: LoopDevice.canHaveLargeBlocks),
        arguments: [(1, 8), (8, 12), (4, 8)] as [(UInt64, UInt64)])
    func unaligned(sector: UInt64, count: UInt64) throws {
        let image = try fixture.directory.image("disk", bytes: 1 << 20)
        try LoopDevice.with(image, options: ["--sector-size", "4096"]) { path in
            let disk = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
            defer { disk.close() }
            let error = try refusal(
                from: region(source, 0, count), to: [region(destination, 0, count), region(disk, sector, count)])
            #expect(error.code == .unaligned && error.errno == .invalidArgument)
            #expect(
                error.description
                    == "\(path): destination 1, sectors \(sector)+\(count), does not fall on blocks of 8 sectors (4096 bytes)"
            )
        }
    }

    @Test("by a budget out of range is refused with the limits", arguments: [0, -1, CopyClient.mostPages + 1, .max])
    func budget(pages: Int) throws {
        let error = #expect(throws: CopyError.self) {
            _ = try CopyClient(service: fixture.service, pages: pages, name: "mine")
        }
        #expect(error?.code == .invalidArgument && error?.errno == .invalidArgument)
        #expect(error?.description == "mine: a budget of \(pages) pages: 1 to 262144 are possible")
    }
}
