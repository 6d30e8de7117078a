/// The unit of every position and length in this project: a sector is 512 bytes, always, whatever
/// the device's own block size.
public enum Sector {
    /// Bytes in a sector.
    public static let size = 512
    /// log2 of `size`.
    public static let shift = 9
    /// Sectors in a 4 KiB page.
    public static let perPage = 8
}

/// A page: the unit of every memory budget, 4096 bytes on all machines.
public enum Page {
    /// Bytes in a page.
    public static let size = 4096
}

/// A range of sectors of some device.
public struct SectorRange: Hashable, Sendable {
    /// First sector.
    public var start: UInt64
    /// Number of sectors.
    public var count: UInt64

    /// A range of `count` sectors from `start`.
    public init(start: UInt64, count: UInt64) {
        self.start = start
        self.count = count
    }

    /// The sector after the last; saturates at the largest number.
    public var end: UInt64 {
        let (sum, overflow) = start.addingReportingOverflow(count)
        return overflow ? .max : sum
    }

    /// Whether a sector belongs to both ranges; an empty range overlaps none.
    public func overlaps(_ other: SectorRange) -> Bool {
        count > 0 && other.count > 0 && start < other.end && other.start < end
    }
}
