import BlockIO
import Targets
import Testing

@Suite("Writers that wait for a full store")
struct SnapshotHoldTests {
    private static let hold = {
        var options = TargetOptions()
        options.overflow = .hold
        return options
    }()

    @Test("do not keep their device from being suspended, however late they come to wait")
    func suspendsMeanwhile() throws {
        let fixture = try SnapshotFixture("P 1", origin: 4096, store: 2300, options: Self.hold)
        fixture.store.holds = [.init(kinds: [.write], range: nil)]
        // More chunks than may be on their way: the second write waits, and finds out later that there is no room for it.
        let first = fixture.origin.start(.write, 0, 2100, tags: Array(10_000..<12_100))
        let second = fixture.origin.start(.write, 2100, 300, tags: Array(20_000..<20_300))
        var isSuspended = false
        fixture.simulator.perform { fixture.origin.device.suspend { _ in isSuspended = true } }
        fixture.store.holds = []
        try fixture.simulator.run { isSuspended }
        #expect(first.ended != nil && second.ended == nil)
        _ = try fixture.snapshot.message("overflow", "invalidate")
        try fixture.origin.resume()
        try fixture.simulator.run { second.ended != nil }
        #expect(second.errno == 0)
        #expect(try fixture.tags(fixture.origin, 2100, 300) == Array(20_000..<20_300))
        #expect(fixture.snapshot.status == "Invalid")
    }

    @Test("go on when a target takes the snapshot over that has them wait no more")
    func goOnAfterHandover() throws {
        let fixture = try SnapshotFixture("P 8", store: 32, options: Self.hold)
        try fixture.write(fixture.origin, 0, 16, tag: 500)
        let write = fixture.origin.start(.write, 16, 8, tags: Array(600..<608))
        for _ in 0..<100 where fixture.snapshot.told(.held) == 0 { _ = fixture.simulator.step() }
        #expect(write.ended == nil)
        try fixture.snapshot.load(fixture.line("P 8"))
        try fixture.snapshot.resume()
        try fixture.simulator.run { write.ended != nil }
        #expect(write.errno == 0)
        #expect(fixture.snapshot.status == "Invalid")
    }
}
