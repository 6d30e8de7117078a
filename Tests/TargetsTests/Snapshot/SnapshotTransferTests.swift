import BlockIO
import Targets
import Testing

@Suite("Transfers of a snapshot and of its origin")
struct SnapshotTransferTests {
    @Test("end their requests, whoever still knows of them")
    func transfersAreKept() throws {
        let fixture = try SnapshotFixture("P 8")
        try fixture.write(fixture.snapshot, 0, 8, tag: 500)
        let read = fixture.snapshot.start(.read, 0, 8)
        let write = fixture.origin.start(.write, 0, 8, tags: Array(600..<608))
        let other = fixture.snapshot.start(.write, 2, 3, tags: [700, 701, 702])
        try fixture.simulator.run { read.ended != nil && write.ended != nil && other.ended != nil }
        #expect(try fixture.tags(fixture.snapshot, 0, 8) == [500, 501, 700, 701, 702, 505, 506, 507])
        #expect(try fixture.tags(fixture.origin, 0, 8) == Array(600..<608))
    }

    @Test("may change the origin where discards are passed down to it")
    func passdown() throws {
        let fixture = try SnapshotFixture("P 8 2 discard_zeroes_cow discard_passdown_origin")
        try fixture.write(fixture.snapshot, 8, 8, tag: 500)
        let before = fixture.simulator.recording.moment
        #expect(try fixture.snapshot.carryOut(.discard, 4, 12).errno == 0)
        #expect(fixture.operations(of: fixture.originDisk, since: before) == ["discard 4+12"])
        #expect(try fixture.tags(fixture.snapshot, 8, 8) == Array(repeating: 0, count: 8))
        #expect(fixture.simulator.violations == [])
    }

    @Test("are limited in number however long a discard is")
    func longDiscard() throws {
        let fixture = try SnapshotFixture("P 1 1 discard_zeroes_cow", origin: 4096, store: 5000)
        try fixture.write(fixture.snapshot, 0, 3000, tag: 10_000)
        let discard = fixture.snapshot.start(.discard, 0, 3000)
        guard case .number(let pending) = fixture.snapshot.detail("pendingChunks") else {
            Issue.record("nothing is told of chunks on their way")
            return
        }
        #expect(pending <= 2049)
        try fixture.simulator.run { discard.ended != nil }
        #expect(discard.errno == 0)
        #expect(try fixture.tags(fixture.snapshot, 0, 3000) == Array(repeating: 0, count: 3000))
    }
}
