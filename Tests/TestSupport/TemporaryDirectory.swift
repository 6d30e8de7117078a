import BlockIO
import Glibc
import SystemPackage

/// A directory that goes with everything in it when the object does; in memory where the machine has room for it there.
public final class TemporaryDirectory: Sendable {
    /// Where it is.
    public let path: String

    /// Where directories on the disk go: /tmp, which every user reaches by a short path, or TMPDIR; in memory where neither takes
    /// single sectors.
    public static let place: String = {
        let temporary = getenv("TMPDIR").map { String(cString: $0) }
        return ["/tmp", temporary, "/dev/shm"].compactMap { $0 }.first(where: takesSectors) ?? "/tmp"
    }()

    /// Whether sectors of files there can be read one by one, past the cache: tests say what becomes of each.
    private static func takesSectors(_ folder: String) -> Bool {
        guard let directory = try? TemporaryDirectory(in: folder),
            let path = try? directory.image("probe", bytes: 4096),
            let image = try? BlockDevice.open(FilePath(path), access: .readOnly, claim: false)
        else { return false }
        defer { image.close() }
        return image.geometry.logicalBlockSize == Sector.size
    }

    /// Whether /dev/shm has room for whatever the tests have at one time; in many containers it has 64 MiB.
    private static let hasMemory: Bool = {
        var status = statvfs()
        return access("/dev/shm", W_OK) == 0 && statvfs("/dev/shm", &status) == 0
            && UInt64(status.f_bavail) * UInt64(status.f_frsize) >= 1 << 30
    }()

    /// Makes an empty one.
    /// - Parameter onDisk: whether to make it on the disk, if that can be, in any case.
    public convenience init(onDisk: Bool = false) throws {
        try self.init(in: !onDisk && Self.hasMemory ? "/dev/shm" : Self.place)
    }

    private init(in parent: String) throws {
        var template = Array("\(parent)/ucopyd-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
        path = template.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
    }

    deinit { Self.remove(path) }

    /// The path of an entry.
    public func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Makes an image file of `bytes` bytes that is one hole.
    public func image(_ name: String, bytes: UInt64) throws -> String {
        try image(name, contents: [], bytes: bytes)
    }

    /// Makes an image file that begins with some bytes, and goes on as a hole to a size if one is given.
    public func image(_ name: String, contents: [UInt8], bytes: UInt64? = nil) throws -> String {
        let path = file(name)
        let descriptor = try FileDescriptor.open(
            FilePath(path), .readWrite, options: [.create, .truncate, .closeOnExec], permissions: .ownerReadWrite)
        try descriptor.closeAfter {
            _ = try descriptor.writeAll(contents)
            if let bytes, ftruncate(descriptor.rawValue, off_t(bytes)) != 0 { throw Errno(rawValue: errno) }
        }
        return path
    }

    private static func remove(_ path: String) {
        if let directory = opendir(path) {
            while let entry = readdir(directory) {
                let name = withUnsafeBytes(of: entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                }
                if name == "." || name == ".." { continue }
                let child = "\(path)/\(name)"
                if unlink(child) != 0, errno == EISDIR { remove(child) }
            }
            closedir(directory)
        }
        rmdir(path)
    }
}
