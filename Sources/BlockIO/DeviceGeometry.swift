import CLinux
import SystemPackage

/// Sizes, alignments and abilities of a device, read from the device itself.
public struct DeviceGeometry: Hashable, Sendable {
    /// Size in sectors.
    public var sectors: UInt64
    /// Smallest unit of I/O in bytes: the logical block size of a block device, the direct I/O
    /// offset alignment of an image file, 512 for buffered I/O.
    public var logicalBlockSize: Int
    /// Unit in bytes that the medium writes without reading first.
    public var physicalBlockSize: Int
    /// Alignment of buffers in bytes.
    public var memoryAlignment: Int
    /// Whether I/O goes past the page cache (O_DIRECT).
    public var isDirect: Bool
    /// Whether the device says that it can discard.
    public var canDiscard: Bool
    /// Whether the device says that it can write zeroes without being sent them.
    public var canWriteZeroes: Bool
    /// Whether it has zones, which are written in ascending order only.
    public var isZoned = false
    /// Whether it is a file on a file system that is memory (tmpfs, ramfs): a transfer is a copy.
    public var isInMemory = false

    /// Size in bytes.
    public var bytes: UInt64 { sectors << UInt64(Sector.shift) }
    /// The logical block size in sectors.
    public var blockSectors: UInt64 { UInt64(logicalBlockSize >> Sector.shift) }
}

extension DeviceGeometry {
    /// Reads the geometry of an open descriptor, and decides whether direct I/O can serve it.
    /// - Throws: the failing request's error; EINVAL with the numbers for an image file that ends
    ///   inside a sector.
    static func probe(
        _ descriptor: FileDescriptor, path: String, kind: BlockDevice.Kind, status: FileStatus
    ) throws(BlockError) -> DeviceGeometry {
        switch kind {
        case .blockDevice: try probeBlockDevice(descriptor, path: path, status: status)
        case .imageFile: try probeImageFile(descriptor, path: path, status: status)
        }
    }

    private static func probeBlockDevice(
        _ descriptor: FileDescriptor, path: String, status: FileStatus
    ) throws(BlockError) -> DeviceGeometry {
        let fd = descriptor.rawValue
        var bytes: UInt64 = 0
        var logical: UInt32 = 0
        var physical: UInt32 = 0
        try check(clinux_blkgetsize64(fd, &bytes), path, "read the size")
        try check(clinux_blksszget(fd, &logical), path, "read the logical block size")
        try check(clinux_blkpbszget(fd, &physical), path, "read the physical block size")
        let queue = BlockSysfs(device: status.device)
        let align = directAlignment(fd)
        return DeviceGeometry(
            sectors: bytes >> UInt64(Sector.shift), logicalBlockSize: Int(logical),
            physicalBlockSize: Int(physical),
            memoryAlignment: align.map { max($0.memory, 1) } ?? Int(logical),
            isDirect: align.map { $0.offset > 0 } ?? true,
            canDiscard: queue.queueLimit("discard_max_bytes") > 0,
            canWriteZeroes: queue.queueLimit("write_zeroes_max_bytes") > 0, isZoned: queue.isZoned)
    }

    private static func probeImageFile(
        _ descriptor: FileDescriptor, path: String, status: FileStatus
    ) throws(BlockError) -> DeviceGeometry {
        let rest = status.size % UInt64(Sector.size)
        guard rest == 0 else {
            throw BlockError(
                path, "open", .invalidArgument,
                reason:
                    "its \(status.size) bytes are no whole number of 512-byte sectors: the last one has \(rest) bytes")
        }
        let align = directAlignment(descriptor.rawValue)
        // A kernel or file system that does not tell (FUSE) is asked for direct I/O in whole
        // blocks of 512 bytes; one that says 0 has none.
        let offset = align?.offset ?? Sector.size
        let direct = offset > 0 && status.size % UInt64(offset) == 0
        return DeviceGeometry(
            sectors: status.size >> UInt64(Sector.shift),
            logicalBlockSize: direct ? max(offset, Sector.size) : Sector.size,
            physicalBlockSize: max(status.preferredBlockSize, Sector.size),
            memoryAlignment: direct ? max(align?.memory ?? Sector.size, 1) : 1,
            isDirect: direct, canDiscard: true, canWriteZeroes: !isOnFUSE(descriptor),
            isInMemory: clinux_is_in_memory(descriptor.rawValue))
    }

    /// Whether a file is one that a program makes up: it may take a punched hole for no more than a hint (nbdfuse trims),
    /// and zeroes have to be written.
    private static func isOnFUSE(_ descriptor: FileDescriptor) -> Bool {
        clinux_is_fuse(descriptor.rawValue)
    }

    private static func directAlignment(_ fd: Int32) -> (memory: Int, offset: Int)? {
        var memory: UInt32 = 0
        var offset: UInt32 = 0
        guard clinux_dioalign(fd, &memory, &offset) == 0 else { return nil }
        return (Int(memory), Int(offset))
    }
}

/// Throws what a C shim answered, if it is a negative errno.
func check(_ result: Int32, _ object: String, _ operation: String) throws(BlockError) {
    if result < 0 { throw BlockError(object, operation, Errno(rawValue: -result)) }
}
