import BlockIO
import Glibc
import TestSupport
import Testing

@testable import Targets

/// Snapshots of image files, on a real queue thread with the real copy service.
@Suite("Snapshots of image files")
struct SnapshotOnFilesTests {
    private static let size = 4 << 20
    private static let sectors = size / 512

    /// An origin, as a mapped device, with its content.
    private func origin(_ fixture: ThreadFixture) async throws -> (ThreadBound<MappedDevice>, String, [UInt8]) {
        let content = Bytes.random(Self.size, seed: 1)
        let path = try fixture.image("origin", content)
        return (try await make(fixture, "origin", "snapshot-origin \(path)"), path, content)
    }

    private func make(
        _ fixture: ThreadFixture, _ name: String, _ words: String, _ options: TargetOptions = TargetOptions()
    ) async throws -> ThreadBound<MappedDevice> {
        let device = try await fixture.device(name)
        try await load(fixture, device, words, options)
        return device
    }

    private func load(
        _ fixture: ThreadFixture, _ device: ThreadBound<MappedDevice>, _ words: String,
        _ options: TargetOptions = TargetOptions()
    ) async throws {
        let table = try await fixture.loader.load("0 \(Self.sectors) \(words)", options: options)
        try await device.perform { $0.load(table.value, $1) }
        try await device.perform { $0.resume($1) }
    }

    private func status(_ device: ThreadBound<MappedDevice>) async -> String {
        await device.read { $0.status().map(\.text).joined(separator: "\n") }
    }

    private func content(_ device: ThreadBound<MappedDevice>) async -> [UInt8] {
        await device.request(.read, 0, UInt64(Self.sectors)).bytes
    }

    private func remove(_ devices: ThreadBound<MappedDevice>...) async throws {
        for device in devices { try await device.perform { $0.remove($1) } }
    }

    @Test("keep what the origin was, while it is written to, and survive their target", arguments: [8, 16, 128])
    func keeps(chunk: Int) async throws {
        let fixture = try await ThreadFixture()
        let (origin, path, old) = try await origin(fixture)
        let cow = try fixture.image("cow", [UInt8](repeating: 0, count: 8 << 20))
        var snapshot = try await make(fixture, "snap", "snapshot \(path) \(cow) P \(chunk)")
        #expect(await status(snapshot) == "\(2 * chunk)/16384 \(2 * chunk)")
        var new = old
        for (sector, count, seed) in [(0, 1, 2), (100, 300, 3), (5000, 8, 4), (8000, 192, 5)] as [(Int, Int, UInt64)] {
            let data = Bytes.random(count * 512, seed: seed)
            #expect(await origin.request(.write, UInt64(sector), UInt64(count), data: data).errno == 0)
            new = Bytes.replacing(new, sector: sector, count: count, from: data)
        }
        #expect(Bytes.difference(await content(origin), new) == nil)
        #expect(Bytes.difference(await content(snapshot), old) == nil)
        // The snapshot is written to: whole chunks, a part, and across what is mapped and what is not.
        var own = old
        for (sector, count, seed) in [(256, 512, 6), (3, 2, 7), (390, 30, 8), (8191, 1, 9)] as [(Int, Int, UInt64)] {
            let data = Bytes.random(count * 512, seed: seed)
            #expect(await snapshot.request(.write, UInt64(sector), UInt64(count), data: data).errno == 0)
            own = Bytes.replacing(own, sector: sector, count: count, from: data)
        }
        #expect(Bytes.difference(await content(snapshot), own) == nil)
        #expect(Bytes.difference(await content(origin), new) == nil)
        #expect(await snapshot.request(.flush).errno == 0)
        let text = await status(snapshot)
        try await remove(snapshot)
        // Loaded anew it is the same.
        snapshot = try await make(fixture, "snap", "snapshot \(path) \(cow) P 0")
        #expect(await status(snapshot) == text)
        #expect(Bytes.difference(await content(snapshot), own) == nil)
        try await remove(snapshot, origin)
        await fixture.end()
    }

    @Test("are merged back while both are in use", arguments: [8, 16])
    func merges(chunk: Int) async throws {
        let fixture = try await ThreadFixture()
        let (origin, path, old) = try await origin(fixture)
        let cow = try fixture.image("cow", [UInt8](repeating: 0, count: 8 << 20))
        let other = try fixture.image("other", [UInt8](repeating: 0, count: 16 << 20))
        let snapshot = try await make(fixture, "snap", "snapshot \(path) \(cow) PO \(chunk)")
        var new = old
        for number in 0..<40 {
            let data = Bytes.random(4096, seed: UInt64(number + 10))
            let sector = number * 193 % 1000 * 8
            #expect(await origin.request(.write, UInt64(sector), 8, data: data).errno == 0)
            new = Bytes.replacing(new, sector: sector, count: 8, from: data)
        }
        let second = try await make(fixture, "second", "snapshot \(path) \(other) P 32")
        try await snapshot.perform { $0.suspend($1) }
        let finished = AsyncStream<String>.makeStream()
        let observer = await origin.read { device in
            device.observe { if "\($0)".contains("mergeFinished") { finished.continuation.yield("\($0)") } }
        }
        try await load(fixture, origin, "snapshot-merge \(path) \(cow) PO \(chunk)")
        #expect(await status(snapshot) == "Invalid")
        #expect(Bytes.difference(await content(origin), old) == nil)
        // Writes during the merge stay.
        let data = Bytes.random(64 << 10, seed: 99)
        #expect(await origin.request(.write, 77, 128, data: data).errno == 0)
        let merged = Bytes.replacing(old, sector: 77, count: 128, from: data)
        for await _ in finished.stream { break }
        await origin.read { $0.ignore(observer) }
        #expect(await status(origin) == "\(2 * chunk)/16384 \(2 * chunk)")
        #expect(Bytes.difference(await content(origin), merged) == nil)
        #expect(Bytes.difference(try Bytes.read(path, count: Self.size), merged) == nil)
        // The other snapshot is what the origin was when it was taken.
        #expect(Bytes.difference(await content(second), new) == nil)
        try await remove(snapshot, second, origin)
        await fixture.end()
    }

    @Test("of one origin, with equal and different chunk sizes, all keep the same")
    func several() async throws {
        let fixture = try await ThreadFixture()
        let (origin, path, old) = try await origin(fixture)
        var snapshots: [ThreadBound<MappedDevice>] = []
        for (number, chunk) in [8, 16, 16, 64, 16, 16, 16, 16, 16, 16, 16].enumerated() {
            let cow = try fixture.image("cow\(number)", [UInt8](repeating: 0, count: 8 << 20))
            let kind = number % 3 == 0 ? "N" : "P"
            snapshots.append(try await make(fixture, "snap\(number)", "snapshot \(path) \(cow) \(kind) \(chunk)"))
        }
        let data = Bytes.random(3 << 20, seed: 5)
        #expect(await origin.request(.write, 1001, 6144, data: data).errno == 0)
        for snapshot in snapshots { #expect(Bytes.difference(await content(snapshot), old) == nil) }
        #expect(
            Bytes.difference(await content(origin), Bytes.replacing(old, sector: 1001, count: 6144, from: data)) == nil)
        for snapshot in snapshots { try await remove(snapshot) }
        try await remove(origin)
        await fixture.end()
    }

    @Test("that overflow do what their policy says, and the origin goes on", arguments: OverflowPolicy.allCases)
    func overflows(policy: OverflowPolicy) async throws {
        let fixture = try await ThreadFixture()
        let (origin, path, old) = try await origin(fixture)
        let cow = try fixture.image("cow", [UInt8](repeating: 0, count: 64 << 10))
        var options = TargetOptions()
        options.overflow = policy
        let snapshot = try await make(fixture, "snap", "snapshot \(path) \(cow) P 16", options)
        let data = Bytes.random(128 << 10, seed: 5)
        let events = AsyncStream<String>.makeStream()
        let observer = await snapshot.read { device in device.observe { events.continuation.yield("\($0)") } }
        async let written = origin.request(.write, 0, 256, data: data).errno
        let word = policy == .hold ? "held" : policy == .detach ? "detached" : "invalidated"
        for await event in events.stream where event.contains(word) { break }
        if policy == .hold {
            #expect(Bytes.difference(try Bytes.read(path, count: Self.size), old) == nil)
            #expect(truncate(cow, 1 << 20) == 0)
            #expect(
                try await snapshot.read { device throws(TargetError) in try device.message(sector: 0, ["grown"]) } == ""
            )
        }
        #expect(await written == 0)
        let new = Bytes.replacing(old, sector: 0, count: 256, from: data)
        #expect(Bytes.difference(await content(origin), new) == nil)
        if policy == .hold {
            #expect(Bytes.difference(await content(snapshot), old) == nil)
        } else {
            #expect(await snapshot.request(.read, 0, 8).errno == EIO)
            #expect(try Bytes.read(cow, at: 4, count: 4) == [0, 0, 0, 0])
        }
        if policy == .invalidate { #expect(await status(snapshot) == "Invalid") }
        // Detached, it goes by itself.
        if policy == .detach { for await event in events.stream where event.contains("removed") { break } }
        await snapshot.read { $0.ignore(observer) }
        if policy != .detach { try await remove(snapshot) }
        try await remove(origin)
        await fixture.end()
    }
}
