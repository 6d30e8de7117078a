import Glibc
import SystemPackage
import TestSupport

/// A directory that goes with the test.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array("\(TestSupport.TemporaryDirectory.place)/ucopyctl-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        if let run = try? CommandRun(["rm", "-rf", "--", path]) { _ = run.wait() }
    }

    /// A file of `bytes` that look random, the same for the same seed.
    func random(_ name: String, _ bytes: Int, seed: UInt64 = 1) throws -> String {
        var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
        var data = [UInt8](repeating: 0, count: bytes)
        data.withUnsafeMutableBytes { raw in
            for index in 0..<bytes / 8 {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                raw.storeBytes(of: state, toByteOffset: index * 8, as: UInt64.self)
            }
        }
        try write(name, data)
        return "\(path)/\(name)"
    }

    /// A file full of one byte.
    func filled(_ name: String, _ bytes: Int, with byte: UInt8 = 0xee) throws -> String {
        try write(name, [UInt8](repeating: byte, count: bytes))
        return "\(path)/\(name)"
    }

    private func write(_ name: String, _ data: [UInt8]) throws {
        let file = try FileDescriptor.open(
            FilePath(path).appending(name), .writeOnly, options: [.create, .truncate, .closeOnExec],
            permissions: .ownerReadWrite)
        try file.closeAfter { _ = try file.writeAll(data) }
    }
}

/// All bytes of a file or device.
func contents(_ path: String) throws -> [UInt8] {
    let file = try FileDescriptor.open(FilePath(path), .readOnly, options: [.closeOnExec])
    return try file.closeAfter {
        let size = try file.seek(offset: 0, from: .end)
        try file.seek(offset: 0, from: .start)
        return try [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, count in
            while count < Int(size) {
                let piece = try file.read(
                    into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[count...]))
                if piece == 0 { break }
                count += piece
            }
        }
    }
}

/// A loop device over a file.
final class LoopDevice {
    let path: String

    /// Whether this machine lets its user have some.
    static let isPossible = TestSupport.LoopDevice.isPossible

    init(_ file: String) throws { path = try TestSupport.LoopDevice.attach(file) }

    deinit { TestSupport.LoopDevice.detach(path) }
}

/// A file system in memory of a given size.
final class SmallFileSystem {
    let path: String

    /// Whether this machine lets its user have some.
    static let isPossible: Bool = {
        guard let directory = try? TemporaryDirectory() else { return false }
        return (try? SmallFileSystem(on: directory.path, bytes: 65536)) != nil
    }()

    init(on path: String, bytes: Int) throws {
        let result = try CommandRun(["mount", "-t", "tmpfs", "-o", "size=\(bytes)", "tmpfs", path]).wait()
        guard result.status == 0 else { throw Errno.notPermitted }
        self.path = path
    }

    deinit {
        if let run = try? CommandRun(["umount", path]) { _ = run.wait() }
    }

    /// A file of `bytes` that occupies nothing yet.
    func sparse(_ name: String, _ bytes: Int) throws -> String {
        let file = "\(path)/\(name)"
        let result = try CommandRun(["truncate", "-s", "\(bytes)", file]).wait()
        guard result.status == 0 else { throw Errno.ioError }
        return file
    }
}
