import BlockIO
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Targets

@Suite("Tables of real devices")
struct TableLoaderTests {
    private func activate(_ device: ThreadBound<MappedDevice>, _ table: ThreadBound<LoadedTable>) async throws {
        try await device.perform { $0.load(table.value, $1) }
        try await device.perform { $0.resume($1) }
    }

    @Test("serve what lines put together, on a thread of their own")
    func serves() async throws {
        let fixture = try await ThreadFixture()
        let data = [Bytes.random(1 << 20, seed: 1), Bytes.random(1 << 20, seed: 2)]
        let paths = [try fixture.image("a", data[0]), try fixture.image("b", data[1])]
        let table = try await fixture.loader.load(
            """
            0 1024 linear \(paths[0]) 1024
            1024 512 zero
            1536 512 linear \(paths[1]) 8
            """)
        let device = try await fixture.device()
        try await activate(device, table)
        #expect(
            await device.read { $0.table().map(\.description) } == [
                "0 1024 linear \(paths[0]) 1024", "1024 512 zero ", "1536 512 linear \(paths[1]) 8",
            ])
        let read = await device.request(.read, 0, 2048)
        #expect(read.errno == 0)
        let expected =
            data[0][(1024 * 512)...] + [UInt8](repeating: 0, count: 512 * 512) + data[1][4096..<(520 * 512)]
        #expect(Bytes.difference(read.bytes, Array(expected)) == nil)
        let new = Bytes.random(8192, seed: 3)
        #expect(await device.request(.write, 1016, 16, data: new).errno == 0)
        #expect(await device.request(.writeZeroes, 1536, 8).errno == 0)
        #expect(await device.request(.flush).errno == 0)
        #expect(try Bytes.read(paths[0], at: 2040 * 512, count: 4096) == Array(new[..<4096]))
        #expect(try Bytes.read(paths[1], at: 4096, count: 4096) == [UInt8](repeating: 0, count: 4096))
        try await device.perform { $0.remove($1) }
        await fixture.end()
    }

    @Test("take each other's place while requests come, and none is lost")
    func swaps() async throws {
        let fixture = try await ThreadFixture()
        let path = try fixture.image("a", [UInt8](repeating: 0, count: 1 << 20))
        let device = try await fixture.device()
        try await activate(device, try await fixture.loader.load("0 2048 linear \(path) 0"))
        let data = Bytes.random(1 << 20, seed: 6)
        let errors = try await withThrowingTaskGroup(of: Int32.self) { group in
            for number in 0..<128 {
                group.addTask {
                    let piece = Array(data[(number * 8192)..<((number + 1) * 8192)])
                    return await device.request(.write, UInt64(number) * 16, 16, data: piece).errno
                }
            }
            for _ in 0..<8 {
                try await activate(device, try await fixture.loader.load("0 2048 linear \(path) 0"))
            }
            return try await group.reduce(into: [Int32]()) { $0.append($1) }
        }
        #expect(errors == Array(repeating: 0, count: 128))
        #expect(Bytes.difference(try Bytes.read(path, count: 1 << 20), data) == nil)
        try await device.perform { $0.remove($1) }
        await fixture.end()
    }

    @Test("that cannot be are refused with line and word, and everything is given back")
    func refusals() async throws {
        let fixture = try await ThreadFixture()
        let path = try fixture.image("a", [UInt8](repeating: 0, count: 1 << 20))
        let none = fixture.directory.file("none")
        let cases = [
            ("0 8 linear \(path)", "table line 1, word 5: parse: the first sector on the device is missing"),
            (
                "0 8 linear \(path) 0\n8 8 linear \(none) 0",
                "table line 2, word 4 \"\(none)\": open: No such file or directory"
            ),
            (
                "0 8 linear \(path) 0\n8 8 linear \(path) 4096\n16 8 linear \(path) 0",
                "table line 2, word 5 \"4096\": load: sectors 4096+8 are not all on \(path), which has 2048"
            ),
        ]
        for (text, reason) in cases {
            let error = await #expect(throws: TargetError.self) { _ = try await fixture.loader.load(text) }
            #expect(error?.description == reason)
            await fixture.pool.settle()
            let claimed = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
            claimed.close()
        }
        await fixture.end()
    }

    @Test("that are read-only open their devices for reading and claim nothing")
    func readOnly() async throws {
        let fixture = try await ThreadFixture()
        let path = try fixture.image("a", [UInt8](repeating: 7, count: 1 << 20))
        let holder = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
        var options = TargetOptions()
        options.isReadOnly = true
        let device = try await fixture.device()
        try await activate(device, try await fixture.loader.load("0 2048 linear \(path) 0", options: options))
        holder.close()
        #expect(await device.read { $0.isReadOnly })
        #expect(await device.request(.write, 0, 8, data: [UInt8](repeating: 0, count: 4096)).errno == EROFS)
        #expect(await device.request(.read, 0, 1).bytes == [UInt8](repeating: 7, count: 512))
        try await device.perform { $0.remove($1) }
        await fixture.end()
    }

    @Test("that were never loaded are destroyed with their devices")
    func dropped() async throws {
        let fixture = try await ThreadFixture()
        let path = try fixture.image("a", [UInt8](repeating: 0, count: 1 << 20))
        let table = try await fixture.loader.load("0 2048 linear \(path) 0")
        await withCheckedContinuation { continuation in table.post { $0.destroy { continuation.resume() } } }
        await fixture.pool.settle()
        let claimed = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
        claimed.close()
        await fixture.end()
    }
}
