import BlockIO
import Targets
import Testing

@Suite("The bytes of a store, and the transfers that make them")
struct SnapshotVectorTests {
    private static let header: [UInt8] = [0x53, 0x6E, 0x41, 0x70, 1, 0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0]

    @Test("begin with a header, the rest of its chunk is zero, and so is the first area")
    func header() throws {
        let fixture = try SnapshotFixture()
        fixture.store.put([UInt8](repeating: 0xA5, count: 15_000), at: 512)
        try fixture.take("P 16")
        #expect(fixture.store.bytes(at: 0, count: 16) == Self.header)
        #expect(fixture.store.bytes(at: 16, count: 16_384 - 16).allSatisfy { $0 == 0 })
        #expect(fixture.snapshot.status == "32/2048 32")
    }

    @Test("have the first exception behind the header's chunk")
    func firstException() throws {
        let fixture = try SnapshotFixture("P 16")
        try fixture.write(fixture.origin, 83, 1, tag: 500)
        #expect(
            fixture.store.bytes(at: 8192, count: 32) == [5] + [UInt8](repeating: 0, count: 7) + [2]
                + [UInt8](repeating: 0, count: 23))
        #expect(fixture.snapshot.status == "48/2048 32")
        #expect(
            SectorTags.tags(fixture.store.bytes(SectorRange(start: 32, count: 16))) == Array(fixture.frozen[80..<96]))
    }

    @Test("say that a store is invalid in one byte")
    func invalid() throws {
        let fixture = try SnapshotFixture("P 16", store: 47)
        try fixture.write(fixture.origin, 0, 1, tag: 500)
        var bytes = Self.header
        bytes[4] = 0
        #expect(fixture.store.bytes(at: 0, count: 16) == bytes)
    }

    @Test("go on in the next area when one is full", arguments: [(511, "8208/20000 32"), (512, "8240/20000 48")])
    func nextArea(exceptions: UInt64, status: String) throws {
        let fixture = try SnapshotFixture("P 16", origin: 16 * 600, store: 20_000)
        try fixture.write(fixture.origin, 0, 16 * exceptions, tag: 1 << 40)
        #expect(fixture.snapshot.status == status)
        let chunks = try KernelReader(fixture.store.content).exceptions
        #expect(chunks.count == Int(exceptions))
        #expect(chunks[exceptions - 1] == exceptions + 1)
        try fixture.write(fixture.origin, 16 * 512, 1, tag: 1 << 41)
        // Chunk 514 is the second area, and its first slot has chunk 515.
        let place = exceptions == 512 ? 514 * 8192 : 8192 + 16 * 511
        #expect(fixture.store.bytes(at: place, count: 10) == [0, 2, 0, 0, 0, 0, 0, 0, exceptions == 512 ? 3 : 1, 2])
    }

    @Test(
        "hold as many exceptions as fit, and no last one that would need an area behind the end",
        arguments: [
            ("P 8", 24, 1), ("P 8", 258 * 8, 255), ("P 8", 259 * 8, 256), ("P 8", 260 * 8, 257), ("N 8", 24, 3),
        ])
    func capacity(words: String, store: UInt64, fits: UInt64) throws {
        let fixture = try SnapshotFixture(words, origin: 8 * 300, store: store)
        try fixture.write(fixture.origin, 0, 8 * fits, tag: 1 << 40)
        #expect(fixture.snapshot.status != "Invalid")
        #expect(try fixture.tags(fixture.snapshot) == fixture.frozen)
        try fixture.write(fixture.origin, 8 * fits, 1, tag: 1 << 41)
        #expect(fixture.snapshot.status == "Invalid")
    }

    @Test("are none where the store is not persistent: its chunks begin at 0")
    func transient() throws {
        let fixture = try SnapshotFixture("N 16")
        for chunk: UInt64 in [7, 3, 5] { try fixture.write(fixture.snapshot, chunk * 16, 16, tag: 1000 * chunk) }
        #expect(fixture.snapshot.status == "48/2048 0")
        #expect(SectorTags.tags(fixture.store.bytes(SectorRange(start: 16, count: 1))) == [3000])
    }

    @Test("of a part of a chunk take one read, one write to the store and one of the list")
    func partOfChunk() throws {
        let fixture = try SnapshotFixture("P 128", store: 4096)
        fixture.simulator.pieceSectors = 128
        let before = fixture.simulator.recording.moment
        try fixture.write(fixture.snapshot, 8, 8, tag: 500)
        #expect(fixture.operations(of: fixture.originDisk, since: before) == ["read 0+128"])
        #expect(fixture.operations(of: fixture.store, since: before) == ["write 256+128", "flush", "write FUA 128+8"])
    }

    @Test("of a whole chunk read nothing")
    func wholeChunk() throws {
        let fixture = try SnapshotFixture("P 128", store: 4096)
        let before = fixture.simulator.recording.moment
        try fixture.write(fixture.snapshot, 128, 128, tag: 500)
        #expect(fixture.operations(of: fixture.originDisk, since: before) == [])
        #expect(fixture.operations(of: fixture.store, since: before) == ["write 256+128", "flush", "write FUA 128+8"])
    }

    @Test("of a long write to the origin are one copy, and nothing when the chunks are there")
    func longWrite() throws {
        let fixture = try SnapshotFixture("P 16", store: 4096)
        fixture.simulator.pieceSectors = 256
        var before = fixture.simulator.recording.moment
        try fixture.write(fixture.origin, 5, 100, tag: 500)
        #expect(fixture.operations(of: fixture.originDisk, since: before) == ["read 0+112", "write 5+100"])
        #expect(fixture.operations(of: fixture.store, since: before) == ["write 32+112", "flush", "write FUA 16+8"])
        before = fixture.simulator.recording.moment
        try fixture.write(fixture.origin, 5, 100, tag: 700)
        #expect(fixture.operations(of: fixture.originDisk, since: before) == ["write 5+100"])
        #expect(fixture.operations(of: fixture.store, since: before) == [])
    }

    @Test("end where they began when everything has been merged")
    func merged() throws {
        let fixture = try SnapshotFixture("P 16")
        try fixture.write(fixture.snapshot, 20, 100, tag: 500)
        try fixture.write(fixture.origin, 0, 8, tag: 900)
        try fixture.merge("P 16")
        try fixture.simulator.run { fixture.origin.told(.mergeFinished) == 1 }
        #expect(fixture.origin.status == "32/2048 32")
        #expect(fixture.store.bytes(at: 8192, count: 8192).allSatisfy { $0 == 0 })
        var expected: [UInt64?] = fixture.frozen
        expected.replaceSubrange(20..<120, with: (0..<100).map { UInt64(500 + $0) })
        #expect(SectorTags.tags(fixture.originDisk.content) == expected)
    }
}
