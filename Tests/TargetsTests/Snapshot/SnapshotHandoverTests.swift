import BlockIO
import Targets
import Testing

@Suite("A snapshot that goes from one target to another")
struct SnapshotHandoverTests {
    @Test("keeps the devices of the old target open until what they were asked for has ended")
    func devicesStayOpen() throws {
        let fixture = try SnapshotFixture("P 8")
        fixture.originDisk.holds = [.init(kinds: [.read])]
        let write = fixture.origin.start(.write, 0, 8, tags: Array(500..<508))
        for _ in 0..<50 where !fixture.simulator.step() { break }
        let next = try Volume("next", lab: fixture.lab)
        try next.load(fixture.line("P 8"))
        try fixture.snapshot.suspend()
        try next.resume()
        var isRemoved = false
        fixture.simulator.perform { fixture.snapshot.device.remove { _ in isRemoved = true } }
        try fixture.simulator.settle()
        #expect(!isRemoved, "the copy still reads from the old target's origin")
        fixture.originDisk.holds = []
        try fixture.simulator.run { isRemoved && write.ended != nil }
        #expect(fixture.simulator.violations == [])
        #expect(try fixture.tags(next) == fixture.frozen)
        #expect(next.status == "24/2048 16")
    }
}
