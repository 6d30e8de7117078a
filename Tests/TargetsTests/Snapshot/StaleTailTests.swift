import Targets
import Testing

@Suite("What a torn commit has left behind the list")
struct StaleTailTests {
    @Test("does not become a part of it when the list grows to that place", arguments: [1, 6, 20])
    func staleSlot(more: UInt64) throws {
        // An area of 8 KiB is written in blocks of 4 KiB: 256 slots each.
        let fixture = try SnapshotFixture("P 16", origin: 16 * 300, store: 16 * 600)
        try fixture.write(fixture.origin, 0, 16 * 250, tag: 1 << 40)
        try fixture.origin.suspend()
        try fixture.snapshot.remove()
        fixture.store.put([43, 1, 0, 0, 0, 0, 0, 0, 144, 1], at: 8192 + 16 * 256)
        let again = try Volume("again", lab: fixture.lab)
        try again.load(fixture.line("P 16"))
        try again.resume()
        try fixture.origin.resume()
        #expect(again.status == "4032/9600 32")
        for chunk in 0..<more { try fixture.write(fixture.origin, (250 + chunk) * 16, 1, tag: 1 << 41) }
        let reader = try KernelReader(fixture.store.content)
        #expect(reader.exceptions.keys.sorted() == Array(0..<250 + more))
        #expect(try fixture.tags(again) == fixture.frozen)
    }
}
