import BlockIO
import SystemPackage
import TestSupport
import Testing

@testable import Targets

@Suite("Snapshots on real devices")
struct SnapshotOnDevicesTests {
    private func activate(
        _ name: String, _ text: String, _ fixture: ThreadFixture
    ) async throws -> ThreadBound<MappedDevice> {
        let table = try await fixture.loader.load(text)
        let device = try await fixture.device(name)
        try await device.perform { $0.load(table.value, $1) }
        try await device.perform { $0.resume($1) }
        return device
    }

    @Test(
        "keep what their origin loses, in every kind of store, and again after they were loaded anew",
        arguments: ["P", "PO"])
    func keeps(store: String) async throws {
        let fixture = try await ThreadFixture()
        let old = Bytes.random(1 << 20, seed: 1)
        let origin = try fixture.image("origin", old)
        let cow = try fixture.image("cow", [UInt8](repeating: 0, count: 4 << 20))
        let line = "0 2048 snapshot \(origin) \(cow) \(store) 16"
        var snapshot = try await activate("snapshot", line, fixture)
        let device = try await activate("origin", "0 2048 snapshot-origin \(origin)", fixture)
        #expect(await snapshot.read { $0.table().map(\.description) } == [line])
        let new = Bytes.random(1 << 20, seed: 2)
        #expect(await device.request(.write, 0, 2048, data: new).errno == 0)
        #expect(await device.request(.flush).errno == 0)
        #expect(Bytes.difference(await snapshot.request(.read, 0, 2048).bytes, old) == nil)
        #expect(Bytes.difference(try Bytes.read(origin, count: 1 << 20), new) == nil)
        let status = await snapshot.read { $0.status().map(\.description) }
        try await snapshot.perform { $0.remove($1) }
        snapshot = try await activate("snapshot", line, fixture)
        #expect(await snapshot.read { $0.status().map(\.description) } == status)
        #expect(Bytes.difference(await snapshot.request(.read, 0, 2048).bytes, old) == nil)
        for device in [snapshot, device] { try await device.perform { $0.remove($1) } }
        await fixture.end()
    }

    @Test("that cannot be leave nothing open")
    func refused() async throws {
        let fixture = try await ThreadFixture()
        let origin = try fixture.image("origin", [UInt8](repeating: 0, count: 1 << 20))
        let cow = try fixture.image("cow", [UInt8](repeating: 1, count: 1 << 20))
        let error = await #expect(throws: TargetError.self) {
            _ = try await fixture.loader.load("0 2048 snapshot \(origin) \(cow) P 16")
        }
        #expect(error?.object.hasPrefix("table line 1") == true)
        await fixture.pool.settle()
        for path in [origin, cow] {
            let claimed = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
            claimed.close()
        }
        await fixture.end()
    }
}
