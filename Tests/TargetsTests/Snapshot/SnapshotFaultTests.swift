import BlockIO
import Glibc
import Targets
import Testing

@Suite("Faults of a snapshot's devices")
struct SnapshotFaultTests {
    private static let kinds: [IOOperation.Kind] = [.write, .writeZeroes, .flush]

    @Test(
        "of the store, at any of its transfers, leave the origin as it was written, and the snapshot right or invalid",
        arguments: [1, 2, 3], ["P 1", "PO 8", "N 8"])
    func store(seed: UInt64, words: String) throws {
        for kind in Self.kinds {
            for skipped in 0..<12 {
                let fixture = try SnapshotFixture(words, seed: seed)
                fixture.store.faults = [.init(kinds: [kind], skipped: skipped, times: 1)]
                var expected = fixture.frozen
                var requests: [PendingRequest] = []
                for number in 0..<8 {
                    let sector = UInt64(number * 29)
                    let tags = (0..<20).map { UInt64(1000 * number + 1000 + $0) }
                    expected.replaceSubrange(Int(sector)..<Int(sector) + 20, with: tags)
                    requests.append(fixture.origin.start(.write, sector, 20, tags: tags))
                }
                try fixture.simulator.run { requests.allSatisfy { $0.ended != nil } }
                try fixture.simulator.settle()
                #expect(requests.allSatisfy { $0.errno == 0 }, "\(kind) \(skipped)")
                #expect(SectorTags.tags(fixture.originDisk.content) == expected)
                if fixture.snapshot.status == "Invalid" {
                    #expect(try fixture.snapshot.carryOut(.read, 0, 1).errno == EIO)
                    #expect(try fixture.snapshot.carryOut(.flush).errno == 0)
                    if words != "N 8" { #expect(fixture.store.bytes(at: 4, count: 1) == [0]) }
                } else {
                    #expect(try fixture.tags(fixture.snapshot) == fixture.frozen)
                }
                #expect(fixture.simulator.violations == [])
            }
        }
    }

    @Test("of the origin when a chunk is read to be kept make the snapshot invalid; the write goes on")
    func originRead() throws {
        let fixture = try SnapshotFixture("P 8")
        fixture.originDisk.faults = [.init(kinds: [.read], range: SectorRange(start: 8, count: 8))]
        #expect(try fixture.write(fixture.origin, 0, 24, tag: 500) == 0)
        #expect(fixture.snapshot.status == "Invalid")
        #expect(SectorTags.tags(fixture.originDisk.bytes(SectorRange(start: 0, count: 24))) == (500..<524).map { $0 })
    }

    @Test("of a write to the origin are the writer's, and the snapshot holds what was there")
    func originWrite() throws {
        let fixture = try SnapshotFixture("P 8")
        fixture.originDisk.faults = [.init(kinds: [.write], times: 1)]
        #expect(try fixture.write(fixture.origin, 0, 24, tag: 500) == EIO)
        #expect(try fixture.tags(fixture.snapshot) == fixture.frozen)
        #expect(fixture.snapshot.status == "40/2048 16")
    }

    @Test("of a read of the snapshot are the reader's, and change nothing")
    func snapshotRead() throws {
        let fixture = try SnapshotFixture("P 8")
        try fixture.write(fixture.snapshot, 0, 8, tag: 500)
        fixture.store.faults = [.init(kinds: [.read], times: 1)]
        fixture.originDisk.faults = [.init(kinds: [.read], times: 1)]
        #expect(try fixture.snapshot.carryOut(.read, 0, 8).errno == EIO)
        #expect(try fixture.snapshot.carryOut(.read, 64, 8).errno == EIO)
        #expect(try fixture.tags(fixture.snapshot, 4, 8) == [504, 505, 506, 507] + fixture.frozen[8..<12].map { $0 })
        #expect(fixture.snapshot.status == "24/2048 16")
    }

    @Test(
        "during a merge, at any transfer, stop it; it goes on after a resume, and ends right",
        arguments: [IOOperation.Kind.read, .write, .flush])
    func merge(kind: IOOperation.Kind) throws {
        for (onOrigin, skipped) in [false, true].flatMap({ disk in (0..<6).map { (disk, $0) } }) {
            let fixture = try SnapshotFixture("P 1", seed: UInt64(skipped))
            var expected: [UInt64?] = fixture.frozen
            for number in 0..<12 {
                let sector = UInt64((number * 7 + 3) * 3 % 250)
                try fixture.write(fixture.snapshot, sector, 4, tag: UInt64(1000 * number + 1000))
                expected.replaceSubrange(
                    Int(sector)..<Int(sector) + 4, with: (0..<4).map { UInt64(1000 * number + 1000 + $0) })
            }
            try fixture.origin.load(fixture.line("P 1", type: "snapshot-merge"))
            try fixture.snapshot.suspend()
            try fixture.origin.suspend(noflush: true)
            let disk = onOrigin ? fixture.originDisk : fixture.store
            disk.faults = [.init(kinds: [kind], skipped: skipped, times: 1)]
            // A write that has failed may have reached the disk, in part or as a whole.
            disk.storesFailedWrites = true
            try fixture.origin.resume()
            try fixture.simulator.run { fixture.origin.told(.mergeFinished) + fixture.origin.told(.mergeFailed) > 0 }
            disk.faults = []
            #expect(try fixture.tags(fixture.origin) == expected)
            if fixture.origin.told(.mergeFailed) > 0 {
                #expect(fixture.origin.status == "Merge failed")
                try fixture.origin.suspend()
                try fixture.origin.resume()
            }
            try fixture.simulator.run { fixture.origin.told(.mergeFinished) == 1 }
            #expect(SectorTags.tags(fixture.originDisk.content) == expected, "\(kind) \(onOrigin) \(skipped)")
            #expect(fixture.simulator.violations == [])
        }
    }
}
