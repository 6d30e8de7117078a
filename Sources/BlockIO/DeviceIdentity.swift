/// Which storage a device is, whatever path named it: what decides whether two regions overlap.
/// A partition is a stretch of its disk, and a loop device one of its file.
public struct DeviceIdentity: Hashable, Sendable {
    /// The address space that positions are counted in.
    public enum Space: Hashable, Sendable {
        /// A disk or another device without a parent.
        case disk(DeviceNumber)
        /// A file: its file system and inode.
        case file(DeviceNumber, inode: UInt64)
    }

    /// The space.
    public var space: Space
    /// Where the device begins in it, in sectors.
    public var start: UInt64

    /// An identity made by hand, for devices that tests make up.
    public init(space: Space, start: UInt64 = 0) {
        self.space = space
        self.start = start
    }

    init(kind: BlockDevice.Kind, status: FileStatus) {
        switch kind {
        case .imageFile:
            self.init(space: .file(status.fileSystem, inode: status.inode))
        case .blockDevice:
            let sysfs = BlockSysfs(device: status.device)
            if sysfs.isPartition, let disk = sysfs.disk, let start = sysfs.partitionStart {
                self.init(disk: disk, start: start)
            } else {
                self.init(disk: status.device, start: 0)
            }
        }
    }

    /// A disk; a loop device is a stretch of its file.
    private init(disk: DeviceNumber, start: UInt64) {
        if let (file, offset) = BlockSysfs(device: disk).backing {
            self.init(
                space: .file(file.fileSystem, inode: file.inode), start: start + offset >> UInt64(Sector.shift))
        } else {
            self.init(space: .disk(disk), start: start)
        }
    }

    /// Whether a range of this device and a range of another share a sector of storage.
    public func overlaps(_ range: SectorRange, _ other: DeviceIdentity, _ otherRange: SectorRange) -> Bool {
        guard space == other.space else { return false }
        let (a, overflow) = range.start.addingReportingOverflow(start)
        let (b, otherOverflow) = otherRange.start.addingReportingOverflow(other.start)
        if overflow || otherOverflow { return false }
        return SectorRange(start: a, count: range.count).overlaps(SectorRange(start: b, count: otherRange.count))
    }
}
