import CLinux
import Glibc
public import SystemPackage

/// The part of fstat(2)'s answer that a device needs.
public struct FileStatus: Sendable {
    /// Regular file, block device, or anything else (nil).
    public var kind: BlockDevice.Kind?
    /// The device number of a block device.
    public var device: DeviceNumber
    /// The device number of the file system that a file is on.
    public var fileSystem: DeviceNumber
    /// The inode number.
    public var inode: UInt64
    /// Size in bytes of a regular file.
    public var size: UInt64
    /// st_blksize.
    public var preferredBlockSize: Int

    /// The status of an open descriptor.
    public init(of descriptor: FileDescriptor, path: String) throws(BlockError) {
        var st = stat()
        guard fstat(descriptor.rawValue, &st) == 0 else {
            throw BlockError(path, "stat", Errno(rawValue: errno))
        }
        self.init(st)
    }

    /// The status of what a path names, followed through links.
    public init(path: FilePath) throws(BlockError) {
        var st = stat()
        guard path.withPlatformString({ stat($0, &st) }) == 0 else {
            throw BlockError(path.string, "open", Errno(rawValue: errno))
        }
        self.init(st)
    }

    private init(_ st: stat) {
        switch st.st_mode & S_IFMT {
        case S_IFREG: kind = .imageFile
        case S_IFBLK: kind = .blockDevice
        default: kind = nil
        }
        device = DeviceNumber(st.st_rdev)
        fileSystem = DeviceNumber(st.st_dev)
        inode = UInt64(st.st_ino)
        size = UInt64(max(st.st_size, 0))
        preferredBlockSize = Int(st.st_blksize)
    }
}

/// A device number as people and sysfs write it: `major:minor`.
public struct DeviceNumber: Hashable, Sendable, CustomStringConvertible {
    /// The driver's number.
    public var major: UInt32
    /// The device's number within the driver's.
    public var minor: UInt32

    init(_ device: dev_t) {
        major = clinux_major(device)
        minor = clinux_minor(device)
    }

    /// `major:minor`, or nil for other text.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let major = UInt32(parts[0]), let minor = UInt32(parts[1]) else { return nil }
        self.major = major
        self.minor = minor
    }

    /// `major:minor`.
    public var description: String { "\(major):\(minor)" }
}
