import BlockIO
import Targets
import Testing

@Suite("What a snapshot says of itself")
struct SnapshotTextTests {
    @Test(
        "is its table line as the kernel prints it",
        arguments: [
            ("p 16", "P 16"), ("PO 16", "PO 16"), ("pO 8 0", "PO 8"), ("n 32", "N 32"), ("P 0", "P 32"),
            ("P 16 1 DISCARD_zeroes_cow", "P 16 1 discard_zeroes_cow"),
            ("P 16 2 discard_passdown_origin discard_zeroes_cow", "P 16 2 discard_zeroes_cow discard_passdown_origin"),
        ])
    func table(words: String, printed: String) throws {
        let fixture = try SnapshotFixture(words)
        #expect(fixture.snapshot.table == "/origin /store \(printed)")
        #expect(fixture.origin.table == "/origin")
        #expect(fixture.origin.status == "")
        #expect(fixture.origin.device.status().first?.description == "0 256 snapshot-origin ")
    }

    @Test("is the chunk size of the store where the table names another, and 0 until it has taken the store over")
    func effectiveChunk() throws {
        let fixture = try SnapshotFixture("P 16")
        try fixture.snapshot.load(fixture.line("P 8"))
        #expect(fixture.snapshot.inactiveTable == "/origin /store P 0")
        try fixture.snapshot.resume()
        #expect(fixture.snapshot.table == "/origin /store P 16")
        try fixture.snapshot.remove()
        let again = try Volume("again", lab: fixture.lab)
        try again.load(fixture.line("P 8"))
        #expect(again.inactiveTable == "/origin /store P 16")
    }

    @Test("is Overflow where its user understands that and it was full for a write of its own, Invalid otherwise")
    func overflow() throws {
        for (words, bySnapshot, status) in [
            ("P 8", true, "Invalid"), ("P 8", false, "Invalid"), ("PO 8", true, "Overflow"), ("PO 8", false, "Invalid"),
        ] {
            let fixture = try SnapshotFixture(words, store: 24)
            try fixture.write(fixture.snapshot, 0, 8, tag: 500)
            let errno = try fixture.write(bySnapshot ? fixture.snapshot : fixture.origin, 64, 8, tag: 600)
            #expect(errno == (bySnapshot ? 5 : 0))
            #expect(fixture.snapshot.status == status, "\(words)")
            guard status == "Overflow" else { continue }
            // Reads go on, what the store holds cannot be changed either, and the origin ends it.
            #expect(try fixture.tags(fixture.snapshot, 0, 1) == [500])
            #expect(try fixture.write(fixture.snapshot, 0, 1, tag: 700) == 5)
            #expect(fixture.store.bytes(at: 4, count: 1) == [1])
            try fixture.write(fixture.origin, 0, 8, tag: 800)
            #expect(fixture.snapshot.status == "Overflow")
            try fixture.write(fixture.origin, 64, 8, tag: 800)
            #expect(fixture.snapshot.status == "Invalid")
        }
    }

    @Test("is Merge failed for the life of the target whose merge has stopped once")
    func mergeFailed() throws {
        let fixture = try SnapshotFixture("P 8")
        try fixture.write(fixture.snapshot, 0, 24, tag: 500)
        fixture.store.faults = [.init(kinds: [.read], range: SectorRange(start: 16, count: 100), times: 1)]
        try fixture.merge("P 8")
        try fixture.simulator.run { fixture.origin.told(.mergeFailed) == 1 }
        #expect(fixture.origin.status == "Merge failed")
        #expect(try fixture.tags(fixture.origin, 0, 2) == [500, 501])
        try fixture.origin.suspend()
        try fixture.origin.resume()
        try fixture.simulator.run { fixture.origin.told(.mergeFinished) == 1 }
        #expect(fixture.origin.status == "Merge failed")
        #expect(SectorTags.tags(fixture.originDisk.bytes(SectorRange(start: 0, count: 2))) == [500, 501])
    }
}
