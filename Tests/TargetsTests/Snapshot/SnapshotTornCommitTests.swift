import BlockIO
import Testing

@testable import Targets

@Suite("A store with the rest of a commit that a power cut has torn")
struct SnapshotTornCommitTests {
    /// Sectors are whole after a power cut, blocks of 4 KiB need not be.
    @Test("is zeroed behind the next slot's sector before the list can grow there")
    func clearsTheBlockOfTheNextSlot() throws {
        let fixture = try SnapshotFixture("P 8")
        try fixture.write(fixture.snapshot, 0, 8, tag: 500)
        try fixture.snapshot.remove()
        // Slot 32 is the first of the area's second sector; slots 1 to 31 of the same commit were lost.
        let torn = ExceptionEntry(old: 20, new: 40)
        var bytes = [UInt8](repeating: 0, count: ExceptionEntry.size)
        bytes.withUnsafeMutableBytes { torn.encode(into: $0, slot: 0) }
        fixture.store.put(bytes, at: 9 * 512)
        let snapshot = try Volume("again", lab: fixture.lab)
        try snapshot.load(fixture.line("P 8"))
        try snapshot.resume()
        fixture.store.holds = [.init(kinds: [.write], range: .init(start: 8, count: 8))]
        let write = snapshot.start(.write, 8, 8, tags: Array(600..<608))
        try fixture.simulator.settle()
        #expect(write.ended == nil)
        #expect(fixture.store.bytes(at: 9 * 512, count: 512).allSatisfy { $0 == 0 })
        fixture.store.holds = []
        try fixture.simulator.run { write.ended != nil }
        #expect(try fixture.tags(snapshot, 0, 16) == Array(500..<508) + Array(600..<608))
        #expect(fixture.simulator.violations == [])
    }
}
