public import BlockIO
import DequeModule
import SystemPackage

/// A mapped device: a name, a live table whose targets serve its requests, and an inactive one that is to take its place.
/// What device-mapper is to a `/dev/mapper` node, with its states and its rules. Belongs to the queue thread of its host.
///
/// | state     | requests                | ends with            |
/// |-----------|-------------------------|----------------------|
/// | active    | go to the live table's targets; EIO without a table | `suspend`, `resume` with an inactive table, `remove` |
/// | suspended | wait, in their order    | `resume`, `remove`   |
/// | removed   | EIO                     | nothing              |
///
/// `load`, `clear`, `suspend`, `resume` and `remove` are done one at a time, in the order of the calls; each calls back
/// once, with what was refused or failed, and with everything as it was before in that case. Whoever is called back may call
/// any of them.
public final class MappedDevice: ServedDevice {
    /// What it is called.
    public private(set) var name: String
    /// What it is called by programs; empty for none.
    public private(set) var uuid: String
    /// The targets' thread.
    public let host: TargetHost

    let router: RequestRouter
    let events = MappedDeviceEvents()
    /// The table that takes the live one's place at the next resume.
    var inactive: LoadedTable?
    /// Whether requests wait, and none is under way.
    public internal(set) var isSuspended = false
    /// Whether it is no more.
    public internal(set) var isRemoved = false
    /// Whether it is removed as soon as nobody uses it.
    public internal(set) var isRemovalDeferred = false
    /// How many use it.
    public private(set) var openCount = 0

    private var operations: Deque<() -> Void> = []
    private var isOperating = false
    private var isStartingOperations = false

    /// A device without a table.
    /// - Parameters:
    ///   - name: 1 to 127 letters, digits and `#+-.:=@_`.
    ///   - uuid: at most 128 of these; empty for none.
    ///   - isReadOnly: whether it refuses writes, whatever its tables say.
    /// - Throws: EINVAL with the rule that a name breaks.
    public init(name: String, uuid: String = "", isReadOnly: Bool = false, host: TargetHost) throws(TargetError) {
        try Self.check(name: name, uuid: uuid)
        self.name = name
        self.uuid = uuid
        self.host = host
        router = RequestRouter(refusesWrites: isReadOnly) { [host] in host.zeroes }
    }

    /// Whether a device can be called so; on any thread.
    /// - Throws: EINVAL with the rule that a name breaks.
    public static func check(name: String, uuid: String = "") throws(TargetError) {
        try MappedDeviceNames.check(name: name, "create")
        try MappedDeviceNames.check(uuid: uuid, of: name, "create")
    }

    var live: LoadedTable? { router.table }

    func error(_ operation: String, _ errno: Errno, _ reason: String) -> TargetError {
        TargetError("device \"\(name)\"", operation, errno, reason)
    }

    // MARK: Names

    /// Gives it another name. Counts as an event, as in device-mapper.
    /// - Throws: EINVAL for a name that cannot be; ENXIO for a device that was removed.
    public func rename(to name: String) throws(TargetError) {
        try MappedDeviceNames.check(name: name, "rename")
        try requirePresence("rename")
        let old = self.name
        self.name = name
        events.raise()
        events.tell(.renamed(from: old))
    }

    /// Gives it a uuid, which can be done once.
    /// - Throws: EINVAL for a uuid that cannot be, and where there is one.
    public func setUUID(_ uuid: String) throws(TargetError) {
        try MappedDeviceNames.check(uuid: uuid, of: name, "set the uuid")
        try requirePresence("set the uuid")
        guard self.uuid.isEmpty else {
            throw error("set the uuid", .invalidArgument, "it has the uuid \(self.uuid), which stays")
        }
        self.uuid = uuid
    }

    /// The refusal of an operation on a device that is no more.
    func absence(_ operation: String) -> TargetError? {
        isRemoved ? error(operation, .noSuchAddressOrDevice, "it has been removed") : nil
    }

    func requirePresence(_ operation: String) throws(TargetError) {
        if let error = absence(operation) { throw error }
    }

    // MARK: Operations

    /// Has an operation begun when those before it have ended.
    func operate(_ operation: @escaping () -> Void) {
        operations.append(operation)
        startOperations()
    }

    /// The same for one that needs a device that has not been removed.
    func operate(_ name: String, _ done: @escaping Completion, _ operation: @escaping () -> Void) {
        operate { [self] in
            if let refusal = absence(name) { end(.failure(refusal), done) } else { operation() }
        }
    }

    /// Ends the operation that was begun last, and tells its result.
    func end(_ result: Result<Void, TargetError>, _ done: Completion) {
        done(result)
        isOperating = false
        startOperations()
    }

    private func startOperations() {
        guard !isStartingOperations else { return }
        isStartingOperations = true
        while !isOperating, let next = operations.popFirst() {
            isOperating = true
            next()
        }
        isStartingOperations = false
    }

    // MARK: Users

    public func opened() { openCount += 1 }

    public func closed() {
        precondition(openCount > 0, "\(name) closed more often than it was opened")
        openCount -= 1
        // Whoever opens it before that puts it off to the next time.
        if openCount == 0, isRemovalDeferred { remove(deferred: true) { _ in } }
    }

    // MARK: Events

    /// How many events there were: what `wait` compares with.
    public var eventNumber: UInt32 { events.number }

    /// Calls back as soon as the event number is another one than `number`; at once where it is. Answers what to cancel it by.
    @discardableResult
    public func wait(for number: UInt32, _ done: @escaping (UInt32) -> Void) -> UInt64 {
        events.wait(for: number, done)
    }

    /// Drops what `wait` was asked for.
    public func cancelWait(_ id: UInt64) { events.cancelWait(id) }

    /// Has somebody told of everything that happens to the device. Answers what to end it by.
    public func observe(_ told: @escaping (MappedDeviceEvent) -> Void) -> UInt64 { events.observe(told) }

    /// Ends what `observe` was asked for.
    public func ignore(_ id: UInt64) { events.ignore(id) }

    // MARK: Requests

    public var sectors: UInt64 { live?.sectors ?? 0 }
    public var isReadOnly: Bool { router.isReadOnly }
    public var logicalBlockSectors: UInt64 { router.logicalBlockSectors }
    public var preferredSectors: UInt64 { live?.largest(\.preferredSectors) ?? 8 }
    public var canDiscard: Bool { live?.any(\.canDiscard) ?? false }
    public var canWriteZeroesFast: Bool { live?.all(\.canWriteZeroes) ?? false }

    /// Takes a request: it goes to its targets, in parts where it does not fit into one, or waits while the device is
    /// suspended. EIO behind the end and without a table, EROFS for what changes a read-only device, EINVAL for what is no
    /// multiple of the logical block.
    public func handle(_ request: BlockRequest) { router.handle(request) }

    public func allocation(in range: SectorRange, limit: Int) -> [Allocation] {
        var found: [Allocation] = []
        var position = range.start
        while position < range.end, found.count < limit, let live, position < live.sectors {
            let segment = live.segment(at: position)
            let end = min(range.end, segment.range.end)
            let part = SectorRange(start: position, count: end - position)
            for next in segment.target.allocation(in: part, limit: limit - found.count) {
                if let last = found.last, last.isHole == next.isHole, last.isZero == next.isZero { found.removeLast() }
                found.append(next)
                position = next.end
            }
        }
        return found.isEmpty ? [Allocation(end: range.end, isHole: false, isZero: false)] : found
    }
}
