import BlockIO
import SystemPackage
import Targets
import Testing

@Suite("A snapshot that is removed")
struct SnapshotRemovalTests {
    @Test("gives its store back only when the header of an invalid store has been written")
    func headerIsWritten() throws {
        // Room for two chunks.
        let fixture = try SnapshotFixture("P 8", store: 32)
        try fixture.write(fixture.snapshot, 0, 8, tag: 500)
        var isRemoved = false
        // Whoever is told that the last write has ended writes to the origin, for which there is no room any more.
        fixture.snapshot.start(.write, 8, 8, tags: Array(600..<608)) { _ in
            fixture.origin.start(.write, 40, 8, tags: Array(700..<708))
        }
        fixture.simulator.perform { fixture.snapshot.device.remove { _ in isRemoved = true } }
        try fixture.simulator.run { isRemoved }
        try fixture.simulator.settle()
        #expect(fixture.simulator.violations == [])
        #expect(fixture.store.bytes(at: 0, count: 8) == [0x53, 0x6E, 0x41, 0x70, 0, 0, 0, 0])
        #expect(try fixture.tags(fixture.origin, 40, 8) == Array(700..<708))
    }

    @Test("does so, too, where a commit was under way when the store ran full")
    func headerBehindCommit() throws {
        var options = TargetOptions()
        options.overflow = .detach
        let fixture = try SnapshotFixture("P 8", store: 24, options: options)
        fixture.store.holds = [.init(kinds: [.flush])]
        fixture.origin.start(.write, 0, 8, tags: Array(500..<508))
        try fixture.simulator.settle()
        fixture.origin.start(.write, 40, 8, tags: Array(600..<608))
        try fixture.simulator.settle()
        fixture.store.holds = []
        try fixture.simulator.run { fixture.snapshot.isRemoved }
        try fixture.simulator.settle()
        #expect(fixture.simulator.violations == [])
        #expect(fixture.store.openHandles == 0)
    }

    @Test("does not give itself to a new target while it ends")
    func isNotTakenOverWhileItEnds() throws {
        let fixture = try SnapshotFixture("P 8")
        fixture.store.holds = [.init(kinds: [.write], range: nil)]
        let write = fixture.origin.start(.write, 0, 8, tags: Array(700..<708))
        var isRemoved = false
        fixture.simulator.perform { fixture.snapshot.device.remove { _ in isRemoved = true } }
        try fixture.simulator.settle()
        #expect(!isRemoved)
        let next = try Volume("next", lab: fixture.lab)
        let error = #expect(throws: TargetError.self) { try next.load(fixture.line("P 8")) }
        #expect(error?.errno == .resourceBusy)
        fixture.store.holds = []
        try fixture.simulator.run { isRemoved && write.ended != nil }
        try next.load(fixture.line("P 8"))
        try next.resume()
        #expect(try fixture.tags(next) == fixture.frozen)
    }
}
