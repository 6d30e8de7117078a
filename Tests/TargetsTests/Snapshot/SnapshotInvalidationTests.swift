import BlockIO
import Targets
import Testing

@Suite("A snapshot that becomes invalid")
struct SnapshotInvalidationTests {
    @Test("tells its device, also where it was loaded by that device's own table")
    func event() throws {
        let fixture = try SnapshotFixture("P 8", store: 24)
        try fixture.write(fixture.origin, 0, 16, tag: 500)
        try fixture.simulator.settle()
        #expect(fixture.snapshot.told(.invalidated) == 1)
        #expect(fixture.snapshot.device.eventNumber == 1)
        #expect(fixture.snapshot.status == "Invalid")
    }

    @Test("is durably so before the origin changes, which goes on then")
    func markedFirst() throws {
        let fixture = try SnapshotFixture("P 8", store: 24)
        try fixture.write(fixture.origin, 0, 8, tag: 500)
        fixture.store.holds = [.init(kinds: [.write], range: SectorRange(start: 0, count: 8))]
        let write = fixture.origin.start(.write, 64, 8, tags: Array(600..<608))
        try fixture.simulator.settle()
        #expect(write.ended == nil)
        fixture.store.holds = [.init(kinds: [.flush])]
        try fixture.simulator.settle()
        #expect(write.ended == nil)
        #expect(SectorTags.tags(fixture.originDisk.bytes(SectorRange(start: 64, count: 1))) == [fixture.frozen[64]])
        fixture.store.holds = []
        try fixture.simulator.run { write.ended != nil }
        #expect(write.errno == 0)
        #expect(fixture.store.bytes(at: 4, count: 1) == [0])
    }

    @Test("lets the origin go on where its store cannot be written to any more")
    func storeIsGone() throws {
        let fixture = try SnapshotFixture("P 8")
        fixture.store.faults = [.init(kinds: [.read, .write, .writeZeroes, .flush, .discard])]
        for sector: UInt64 in [0, 64, 3, 130] {
            #expect(try fixture.write(fixture.origin, sector, 8, tag: 500 + sector) == 0)
            #expect(try fixture.tags(fixture.origin, sector, 8) == (500 + sector..<508 + sector).map { $0 })
        }
        #expect(fixture.snapshot.status == "Invalid")
        #expect(fixture.snapshot.told(.invalidated) == 2, "that it is, and that its store does not say so")
        #expect(try fixture.tags(fixture.snapshot) == [])
    }
}
