/// A kind of target: how its table line is read, and a target made of it.
public protocol TargetType: Sendable {
    /// What table lines call it: at most 15 characters.
    var name: String { get }
    /// The version of the kernel's target that it is like: `targets` prints it.
    var version: [Int] { get }
    /// Reads a line.
    /// - Throws: which word is wrong and why; nothing has been opened.
    func parse(_ line: TableLine) throws(TargetError) -> any TargetPlan
}

/// A table line that has been understood, before any device was opened.
public protocol TargetPlan: Sendable {
    /// The devices that it needs, in the order in which they are to be opened.
    var devices: [PlannedDevice] { get }
    /// Makes the target. On the queue thread; what blocks is done by `TargetEnvironment.detached`.
    /// - Parameters:
    ///   - devices: the devices, opened, in the order of `devices`. They are the target's now; where it cannot be made, they
    ///     are released.
    ///   - options: what the creator of the mapped device wants beyond the table.
    ///   - ended: called once, on the queue thread.
    func construct(
        _ devices: [any TargetDevice], options: TargetOptions, host: TargetHost,
        ended: @escaping (Result<any Target, TargetError>) -> Void)
}

/// A device that a table line names.
public struct PlannedDevice: Hashable, Sendable {
    /// A path or `MAJOR:MINOR`.
    public var path: String
    /// Whether it is going to be written to.
    public var isWritten: Bool
    /// Whether a read-only table only reads it: what the kernel opens with the mode of the table.
    public var followsTable: Bool

    /// A device to be opened.
    public init(_ path: String, isWritten: Bool, followsTable: Bool = true) {
        self.path = path
        self.isWritten = isWritten
        self.followsTable = followsTable
    }
}

/// What the creator of a mapped device can ask for beyond the table.
public struct TargetOptions: Hashable, Sendable {
    /// The budget of a target's copy client in 4 KiB pages; nil for the target's own choice.
    public var pages: Int?
    /// What happens when a snapshot's store is full; nil for what the kernel does.
    public var overflow: OverflowPolicy?
    /// Whether the mapped device is read-only: the devices of its table are then opened for reading where the kernel does so.
    public var isReadOnly = false

    /// No wishes.
    public init() {}
}

/// What happens when a snapshot's store is full.
public enum OverflowPolicy: String, Hashable, Sendable, CaseIterable {
    /// As in the kernel: the snapshot becomes invalid, or, where its user understands that, takes no more writes.
    case invalidate
    /// Writers wait until the store has grown.
    case hold
    /// The snapshot ends: it becomes invalid, and its device is removed as soon as nobody uses it; the origin goes on.
    case detach
}
