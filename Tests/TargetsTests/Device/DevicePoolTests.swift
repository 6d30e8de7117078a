import BlockIO
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Targets

@Suite("The pool of devices")
struct DevicePoolTests {
    private let pool = DevicePool()
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func claimFails(_ path: String) -> Bool {
        guard let other = try? BlockDevice.open(FilePath(path), access: .readWrite, claim: true) else { return true }
        other.close()
        return false
    }

    @Test("opens an image file once for all who name it, and closes it with the last")
    func shared() async throws {
        let path = try directory.image("a b", bytes: 1 << 20)
        let link = directory.file("link")
        #expect(symlink(path, link) == 0)
        let first = try await pool.open(path, isWritten: true)
        let second = try await pool.open(link, isWritten: true)
        let third = try await pool.open(path, isWritten: false)
        #expect(first.device === second.device && first.device === third.device)
        // As a table line has to spell it.
        #expect(first.name == "\(directory.path)/a\\ b" && second.name == link)
        first.release()
        second.release()
        await pool.settle()
        #expect(claimFails(path))
        third.release()
        await pool.settle()
        #expect(!claimFails(path))
    }

    @Test("opens for reading what nobody writes to, without a claim, and once more for the first who writes")
    func upgrade() async throws {
        let path = try directory.image("image", contents: Bytes.random(4096, seed: 1))
        let reader = try await pool.open(path, isWritten: false)
        #expect(!reader.device.isWritable && !claimFails(path))
        let writer = try await pool.open(path, isWritten: true)
        #expect(writer.device.isWritable && claimFails(path))
        let late = try await pool.open(path, isWritten: false)
        #expect(late.device === writer.device)
        #expect(try reader.device.currentSectors() == 8)
        writer.release()
        reader.release()
        late.release()
        await pool.settle()
        #expect(!claimFails(path))
    }

    @Test("says who holds what cannot be had, and what is wrong with a path")
    func refusals() async throws {
        let path = try directory.image("image", bytes: 1 << 20)
        let other = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
        defer { other.close() }
        await #expect {
            try await pool.open(path, isWritten: true)
        } throws: { ($0 as? BlockError)?.description == "\(path): open: the image file is held by another program" }
        await #expect {
            try await pool.open(directory.file("none"), isWritten: false)
        } throws: { ($0 as? BlockError)?.errno == .noSuchFileOrDirectory }
        await #expect {
            try await pool.open("/dev/null", isWritten: false)
        } throws: { ($0 as? BlockError)?.errno == Errno(rawValue: ENOTBLK) }
        await #expect {
            try await pool.open("4095:1048575", isWritten: false)
        } throws: { ($0 as? BlockError)?.description == "4095:1048575: open: there is no such device" }
        // Somebody else's claim is in nobody's way who only reads.
        let reader = try await pool.open(path, isWritten: false)
        reader.release()
        await pool.settle()
    }

    @Test("knows a block device by its path and by its number", .enabled(if: LoopDevice.isPossible))
    func blockDevices() async throws {
        let directory = try TemporaryDirectory(onDisk: true)
        try await LoopDevice.with(try directory.image("disk", bytes: 1 << 20)) { path in
            let byPath = try await pool.open(path, isWritten: false)
            let name = byPath.name
            #expect(DeviceNumber(name) == (try FileStatus(path: FilePath(path)).device))
            let byNumber = try await pool.open(name, isWritten: false)
            #expect(byNumber.device === byPath.device && byNumber.name == name)
            let writer = try await pool.open(name, isWritten: true)
            #expect(writer.device !== byPath.device && writer.name == name)
            #expect(claimFails(path))
            for device in [byPath, byNumber, writer] { device.release() }
            await pool.settle()
        }
    }

    @Test("reads the size of a file anew")
    func growth() async throws {
        let fixture = try await ThreadFixture()
        let path = try fixture.directory.image("image", bytes: 1 << 20)
        let device = try await fixture.open(path)
        #expect(await device.read { $0.sectors } == 2048)
        #expect(truncate(path, 2 << 20) == 0)
        #expect(await device.read { $0.sectors } == 4096)
        await device.read { $0.release() }
        await fixture.end()
    }
}
