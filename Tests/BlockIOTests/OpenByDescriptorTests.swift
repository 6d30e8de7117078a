import CLinux
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import BlockIO

@Suite("Opening a device by descriptor")
struct OpenByDescriptorTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory(onDisk: true) }

    private func refusal(_ descriptor: FileDescriptor, claim: Bool = true) -> BlockError? {
        #expect(throws: BlockError.self) {
            _ = try BlockDevice.open(descriptor: descriptor, name: "given", claim: claim)
        }
    }

    @Test(
        "allows what the descriptor allows, never more",
        arguments: [(O_RDONLY, BlockDevice.Access.readOnly), (O_WRONLY, .writeOnly), (O_RDWR, .readWrite)])
    func access(mode: Int32, access: BlockDevice.Access) throws {
        let path = try directory.image("image", bytes: 1 << 20)
        let descriptor = FileDescriptor(rawValue: Glibc.open(path, mode | O_CLOEXEC))
        defer { try? descriptor.close() }
        let device = try BlockDevice.open(descriptor: descriptor, name: "given", claim: true)
        defer { device.close() }
        #expect(device.access == access)
        #expect(device.path == "given")
        #expect(fcntl(device.descriptor.rawValue, F_GETFL) & O_ACCMODE == mode)
        var byte: UInt8 = 0
        #expect((pread(device.descriptor.rawValue, &byte, 0, 0) >= 0) == device.isReadable)
        #expect((pwrite(device.descriptor.rawValue, &byte, 0, 0) >= 0) == device.isWritable)
    }

    @Test("leaves the caller's descriptor open, where it was, and without direct I/O")
    func callersDescriptor() throws {
        let path = try directory.image("image", contents: Bytes.random(1 << 20, seed: 1))
        let descriptor = try FileDescriptor.open(FilePath(path), .readWrite, options: [.closeOnExec])
        defer { try? descriptor.close() }
        #expect(try descriptor.seek(offset: 700, from: .start) == 700)
        let before = fcntl(descriptor.rawValue, F_GETFL)
        let device = try BlockDevice.open(descriptor: descriptor, name: "given", claim: true)
        _ = device.stretches(in: SectorRange(start: 0, count: 2048), alignment: 1, limit: 64)
        #expect(fcntl(descriptor.rawValue, F_GETFL) == before)
        device.close()
        #expect(try descriptor.seek(offset: 0, from: .current) == 700)
        #expect(OpenDescriptors.of(path) == [descriptor.rawValue])
    }

    @Test("keeps its own descriptors from programs that are executed")
    func closeOnExec() throws {
        let path = try directory.image("image", bytes: 1 << 20)
        let descriptor = try FileDescriptor.open(FilePath(path), .readWrite, options: [.closeOnExec])
        defer { try? descriptor.close() }
        let device = try BlockDevice.open(descriptor: descriptor, name: "given", claim: true)
        defer { device.close() }
        #expect(OpenDescriptors.of(path).count > 1)
        #expect(OpenDescriptors.of(path).filter(OpenDescriptors.isInherited) == [])
    }

    @Test("refuses a descriptor that only names a file (O_PATH)")
    func pathOnly() throws {
        let path = try directory.image("image", bytes: 1 << 20)
        let descriptor = FileDescriptor(rawValue: Glibc.open(path, clinux_o_path | O_CLOEXEC))
        try #require(descriptor.rawValue >= 0)
        defer { try? descriptor.close() }
        let error = refusal(descriptor)
        #expect(error?.errno == .badFileDescriptor)
        #expect(error?.reason == "the descriptor allows neither reading nor writing")
    }

    @Test("refuses to write through a descriptor that only appends, and reads through one")
    func appending() throws {
        let path = try directory.image("image", contents: Bytes.random(4096, seed: 1))
        let descriptor = try FileDescriptor.open(FilePath(path), .writeOnly, options: [.append, .closeOnExec])
        defer { try? descriptor.close() }
        #expect(refusal(descriptor)?.errno == .badFileDescriptor)
        let reader = try FileDescriptor.open(FilePath(path), .readOnly, options: [.append, .closeOnExec])
        defer { try? reader.close() }
        let device = try BlockDevice.open(descriptor: reader, name: "given", claim: true)
        device.close()
    }

    @Test("refuses a pipe, a directory and a number that is no descriptor")
    func notDevices() throws {
        let (reader, writer) = try FileDescriptor.pipe()
        #expect(refusal(reader)?.errno == Errno(rawValue: ENOTBLK))
        #expect(refusal(writer)?.errno == Errno(rawValue: ENOTBLK))
        try reader.close()
        try writer.close()
        let folder = try FileDescriptor.open(FilePath(directory.path), .readOnly, options: [.closeOnExec])
        #expect(refusal(folder)?.errno == Errno(rawValue: ENOTBLK))
        try folder.close()
        #expect(refusal(FileDescriptor(rawValue: 1_000_000))?.errno == .badFileDescriptor)
        #expect(refusal(FileDescriptor(rawValue: -1))?.errno == .badFileDescriptor)
    }

    @Test(
        "refuses a writable descriptor of a mounted device, unless the user insists",
        .enabled(if: LoopDevice.isPossible && Program.exist("mkfs.ext4", "mount", "umount")))
    func mounted() throws {
        try LoopDevice.with(try directory.image("disk", bytes: 4 << 20)) { path in
            try Program.succeed("mkfs.ext4", "-q", path)
            let point = directory.file("point")
            #expect(mkdir(point, 0o700) == 0)
            try Program.succeed("mount", path, point)
            defer { _ = try? Program.run(["umount", point]) }
            let writable = try FileDescriptor.open(FilePath(path), .readWrite, options: [.closeOnExec])
            defer { try? writable.close() }
            let error = refusal(writable)
            #expect(error?.errno == .resourceBusy)
            #expect(error?.description == "given: open: the device is mounted on \(point)")
            try BlockDevice.open(descriptor: writable, name: "given", claim: false).close()

            let readable = try FileDescriptor.open(FilePath(path), .readOnly, options: [.closeOnExec])
            defer { try? readable.close() }
            try BlockDevice.open(descriptor: readable, name: "given", claim: true).close()
        }
    }

    @Test("claims a device that the caller has not claimed", .enabled(if: LoopDevice.isPossible))
    func claims() throws {
        try LoopDevice.with(try directory.image("disk", bytes: 1 << 20)) { path in
            let descriptor = try FileDescriptor.open(FilePath(path), .readWrite, options: [.closeOnExec])
            let device = try BlockDevice.open(descriptor: descriptor, name: "given", claim: true)
            try descriptor.close()
            let error = #expect(throws: BlockError.self) {
                _ = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
            }
            #expect(error?.errno == .resourceBusy)
            try closeAndClaim(device, path)
        }
    }

    @Test("takes the caller's own claim, and keeps it when the caller closes", .enabled(if: LoopDevice.isPossible))
    func callersClaim() throws {
        try LoopDevice.with(try directory.image("disk", bytes: 1 << 20)) { path in
            let descriptor = try FileDescriptor.open(
                FilePath(path), .readWrite, options: [.closeOnExec, .exclusiveCreate])
            let device = try BlockDevice.open(descriptor: descriptor, name: "given", claim: true)
            try descriptor.close()
            #expect(throws: BlockError.self) {
                _ = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
            }
            try closeAndClaim(device, path)
        }
    }
}
