import Glibc
import SystemPackage

/// What sysfs says about a block device (Documentation/ABI/stable/sysfs-block in the kernel's tree).
struct BlockSysfs {
    let directory: FilePath

    init(device: DeviceNumber) {
        self.init(directory: FilePath("/sys/dev/block/\(device)"))
    }

    init(name: String) {
        self.init(directory: FilePath("/sys/block/\(name)"))
    }

    private init(directory: FilePath) {
        self.directory = directory
        isPartition = access("\(directory)/partition", F_OK) == 0
    }

    /// The file that a loop device is built on, and where in it the device begins, in bytes. nil for other devices, and for
    /// a file that has no such name any more.
    var backing: (file: FileStatus, offset: UInt64)? {
        guard let path = text("loop/backing_file"), let offset = text("loop/offset").flatMap({ UInt64($0) }),
            let file = try? FileStatus(path: FilePath(path)), file.kind == .imageFile
        else { return nil }
        return (file, offset)
    }

    /// Whether this is a partition; its queue is then that of the disk it is on.
    let isPartition: Bool

    /// The first sector of a partition on its disk.
    var partitionStart: UInt64? { text("start").flatMap { UInt64($0) } }

    /// The disk that a partition is on.
    var disk: DeviceNumber? { text("../dev").flatMap { DeviceNumber($0) } }

    /// A limit of the request queue; 0 where it is missing.
    func queueLimit(_ name: String) -> UInt64 { queueText(name).flatMap { UInt64($0) } ?? 0 }

    /// Whether the disk has zones: host-managed or host-aware.
    var isZoned: Bool { queueText("zoned").map { $0 != "none" } ?? false }

    private func queueText(_ name: String) -> String? {
        text(isPartition ? "../queue/\(name)" : "queue/\(name)")
    }

    /// Names of the devices that are built on this one.
    var holders: [String] { directoryEntries(directory.appending("holders")) }

    /// Device numbers of the partitions of a disk.
    var partitions: [DeviceNumber] {
        directoryEntries(directory).compactMap { name in
            text("\(name)/partition") == nil ? nil : text("\(name)/dev").flatMap { DeviceNumber($0) }
        }
    }

    private func text(_ name: String) -> String? {
        readText(FilePath("\(directory)/\(name)"), isAttribute: true)?.trimmedLine
    }
}

/// The whole of a small text file of the kernel's, or nil where it cannot be read.
/// - Parameter isAttribute: whether it is one of sysfs, which a single read brings.
func readText(_ path: FilePath, isAttribute: Bool = false) -> String? {
    guard let descriptor = try? FileDescriptor.open(path, .readOnly, options: [.closeOnExec]) else { return nil }
    defer { closeQuietly(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while let count = try? chunk.withUnsafeMutableBytes({ try descriptor.read(into: $0) }), count > 0 {
        bytes.append(contentsOf: chunk[..<count])
        // What the kernel makes up comes whole where it fits: an attribute, but not a table.
        if isAttribute, count < chunk.count { break }
    }
    return String(decoding: bytes, as: UTF8.self)
}

extension String {
    /// Without the white space at its end.
    var trimmedLine: String {
        var rest = self[...]
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return String(rest)
    }
}
