import SystemPackage
import Testing

@testable import Targets

@Suite("A snapshot of an origin of any size")
struct SnapshotSizeTests {
    @Test("is copied in whole blocks of the store, up to the end of the origin")
    func lastChunkInBlocksOfTheStore() throws {
        let fixture = try SnapshotFixture(origin: 252)
        fixture.store.logicalBlockSectors = 8
        try fixture.take("P 16", sectors: 248)
        #expect(try fixture.write(fixture.origin, 242, 3, tag: 700) == 0)
        #expect(fixture.snapshot.status != "Invalid")
        #expect(try fixture.tags(fixture.snapshot) == Array(fixture.frozen[..<248]))
        #expect(fixture.simulator.violations == [])
    }

    @Test("is refused with a length that is no multiple of the store's blocks")
    func lengthInBlocks() throws {
        let fixture = try SnapshotFixture(origin: 252)
        fixture.store.logicalBlockSectors = 8
        let error = #expect(throws: TargetError.self) { try fixture.snapshot.load(fixture.line("P 16")) }
        #expect(error?.errno == .invalidArgument)
    }

    @Test("becomes invalid when the origin has shrunk, and nothing worse happens")
    func originShrinks() throws {
        let fixture = try SnapshotFixture("P 8")
        fixture.originDisk.shrink(to: 128)
        #expect(try fixture.write(fixture.snapshot, 200, 3, tag: 700) != 0)
        #expect(fixture.snapshot.status == "Invalid")
        try fixture.simulator.settle()
        #expect(fixture.simulator.violations == [])
    }
}
