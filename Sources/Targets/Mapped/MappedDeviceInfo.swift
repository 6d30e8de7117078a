public import BlockIO

/// What `dmsetup info` tells of a device.
public struct MappedDeviceInfo: Hashable, Sendable {
    public var name: String
    /// Empty for a device without one.
    public var uuid: String
    /// SUSPENDED or ACTIVE.
    public var isSuspended: Bool
    /// Tables present: LIVE.
    public var hasLive: Bool
    /// Tables present: INACTIVE.
    public var hasInactive: Bool
    /// How many use it.
    public var openCount: Int
    /// How many events there were.
    public var eventNumber: UInt32
    /// Lines of the live table.
    public var targetCount: Int
    /// Whether writes are refused.
    public var isReadOnly: Bool
    /// Whether it will be removed as soon as nobody uses it.
    public var isRemovalDeferred: Bool
    /// Size in sectors.
    public var sectors: UInt64

    /// dmsetup's word for the state.
    public var state: String { isSuspended ? "SUSPENDED" : "ACTIVE" }
    /// dmsetup's words for the tables: `LIVE`, `INACTIVE`, `LIVE & INACTIVE`, `None`.
    public var tables: String {
        switch (hasLive, hasInactive) {
        case (true, true): "LIVE & INACTIVE"
        case (true, false): "LIVE"
        case (false, true): "INACTIVE"
        case (false, false): "None"
        }
    }
}

/// Which table of a mapped device.
public enum TableSlot: String, Hashable, Sendable, CaseIterable {
    /// The one that serves.
    case live
    /// The one that takes its place at the next resume.
    case inactive
}

/// A line of the status or of the table of a mapped device.
public struct TargetReport: Hashable, Sendable, CustomStringConvertible {
    /// The sectors.
    public var range: SectorRange
    /// The type of the target.
    public var type: String
    /// The words behind it, as the kernel prints them.
    public var text: String
    /// What the target tells beyond the status line; empty in a table.
    public var details: [TargetDetail] = []

    /// The line as dmsetup prints it: there is a blank behind the type even where nothing follows.
    public var description: String { "\(range.start) \(range.count) \(type) \(text)" }
}
