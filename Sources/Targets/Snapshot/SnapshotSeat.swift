import SystemPackage
import BlockIO

/// The place of a snapshot in a target: `snapshot` and `snapshot-merge` have one each. A snapshot moves from the seat of one
/// target to that of another when the second is resumed, and its exceptions need not be read again.
final class SnapshotSeat {
    let host: TargetHost
    let line: SnapshotLine
    let originDevice: any TargetDevice
    let cowDevice: any TargetDevice
    /// Sectors of the target.
    let length: UInt64
    /// Whether the target merges.
    let merges: Bool
    private let options: TargetOptions
    /// The snapshot, while it sits here.
    private(set) var snapshot: Snapshot?
    /// The seat that the snapshot comes from at the next resume.
    private weak var source: SnapshotSeat?
    /// The seat that the snapshot is to go to.
    private weak var destination: SnapshotSeat?
    private(set) var isSuspended = true
    private(set) var hasResumed = false
    /// Whether the snapshot has gone to another seat.
    private(set) var isVacated = false
    /// Whether the target has come to its end.
    private(set) var isLeaving = false
    /// How many of the snapshots that have moved on still use the devices of this seat.
    private var usersOfDevices = 0
    /// Gives the devices back, when nobody uses them any more.
    private var leaving: (() -> Void)?
    /// Told what happens to the snapshot.
    weak var owner: (any SnapshotOwner)? {
        didSet { snapshot?.owner = owner }
    }

    init(
        _ line: SnapshotLine, origin: any TargetDevice, cow: any TargetDevice, length: UInt64, merges: Bool,
        options: TargetOptions, host: TargetHost
    ) {
        self.line = line
        originDevice = origin
        cowDevice = cow
        self.length = length
        self.merges = merges
        self.options = options
        self.host = host
    }

    /// The origin, with all of its snapshots.
    var origin: Origin { host.origins.origin(originDevice) }
    /// Whether the snapshot has yet to come from another target.
    var isWaiting: Bool { source != nil }

    // MARK: Taking a seat

    /// A snapshot that was made for this target takes its seat.
    func seat(_ snapshot: Snapshot) {
        self.snapshot = snapshot
        settle(snapshot)
        origin.add(snapshot)
    }

    /// The snapshot of another target is going to sit here.
    func wait(for source: SnapshotSeat) {
        self.source = source
        source.destination = self
    }

    private func settle(_ snapshot: Snapshot) {
        snapshot.understandsOverflow = line.store == .persistentOverflow
        snapshot.isMerging = merges
        snapshot.owner = owner
        snapshot.policy = options.overflow ?? .invalidate
    }

    /// - Throws: EINVAL where a snapshot is to be handed over, and the target that has it is the wrong one to resume, or
    ///   has not been suspended.
    func checkResume() throws(TargetError) {
        if destination != nil {
            throw TargetError(
                cowDevice.name, "resume", .invalidArgument, "the snapshot waits to be taken over by another target")
        }
        if let source, !source.isSuspended {
            throw TargetError(
                cowDevice.name, "resume", .invalidArgument,
                "the target that the snapshot is to be taken over from is not suspended")
        }
    }

    func resume() {
        if let source { takeOver(from: source) }
        isSuspended = false
        hasResumed = true
        snapshot?.isActive = true
    }

    private func takeOver(from source: SnapshotSeat) {
        source.destination = nil
        self.source = nil
        guard let snapshot = source.snapshot else { return }
        source.snapshot = nil
        source.isVacated = true
        self.snapshot = snapshot
        source.usersOfDevices += 1
        snapshot.move(origin: originDevice, cow: cowDevice, length: length) { source.devicesWereLeft() }
        settle(snapshot)
    }

    private func devicesWereLeft() {
        usersOfDevices -= 1
        guard usersOfDevices == 0, let finish = leaving else { return }
        leaving = nil
        finish()
    }

    func suspend() { isSuspended = true }

    /// The target has come to its end, and the snapshot with it; then the devices are given back.
    func leave(_ done: @escaping () -> Void) {
        isLeaving = true
        source?.destination = nil
        // Whoever waits for this snapshot waits in vain, and finds none.
        destination?.source = nil
        let finish = { [self] in
            host.origins.remove(self)
            originDevice.release()
            cowDevice.release()
            done()
        }
        guard let snapshot else {
            if usersOfDevices == 0 { finish() } else { leaving = finish }
            return
        }
        self.snapshot = nil
        origin.remove(snapshot)
        snapshot.owner = nil
        snapshot.releaseHeld()
        snapshot.drain { snapshot.close(finish) }
    }

    // MARK: Text

    /// The words of a table line, as the kernel prints them.
    var tableText: String {
        let chunk = isWaiting ? 0 : snapshot?.chunkSectors ?? line.chunkSectors
        return "\(originDevice.name) \(cowDevice.name) \(line.store.rawValue) \(chunk)\(line.features.text)"
    }

    /// The words of a status line, as the kernel prints them.
    func statusText(mergeFailed: Bool) -> String {
        if isWaiting { return "0/\(cowDevice.sectors) 0" }
        guard let snapshot, snapshot.isValid else { return "Invalid" }
        if mergeFailed { return "Merge failed" }
        if snapshot.isOverflowed { return "Overflow" }
        let (allocated, metadata) = snapshot.store.usage
        return "\(allocated)/\(cowDevice.sectors) \(metadata)"
    }

    /// What is told beyond the status line.
    var details: [TargetDetail] {
        guard let snapshot else { return [] }
        let (allocated, metadata) = snapshot.store.usage
        return [
            TargetDetail("valid", .flag(snapshot.isValid)),
            TargetDetail("overflowed", .flag(snapshot.isOverflowed)),
            TargetDetail("overflowPolicy", .text(snapshot.policy.rawValue)),
            TargetDetail("chunkSize", .number(snapshot.chunkSectors << UInt64(Sector.shift))),
            TargetDetail("exceptions", .number(snapshot.exceptions.count)),
            TargetDetail("pendingChunks", .number(snapshot.inFlight)),
            TargetDetail("heldRequests", .number(UInt64(snapshot.held.count))),
            TargetDetail("allocated", .number(allocated << UInt64(Sector.shift))),
            TargetDetail("total", .number(cowDevice.sectors << UInt64(Sector.shift))),
            TargetDetail("metadata", .number(metadata << UInt64(Sector.shift))),
        ]
    }

    // MARK: Messages

    /// Messages that both targets take: `overflow POLICY`, and `grown`, for a store that has grown.
    func message(_ words: [String]) throws(TargetError) -> String {
        switch (words.first, words.count) {
        case ("overflow", 2):
            guard let policy = OverflowPolicy(rawValue: words[1]) else {
                let known = OverflowPolicy.allCases.map(\.rawValue).joined(separator: ", ")
                throw TargetError(
                    "overflow \(words[1])", "send the message", .invalidArgument, "the policies are \(known)")
            }
            snapshot?.policy = policy
            return ""
        case ("grown", 1):
            snapshot?.storeHasGrown()
            return ""
        default:
            throw TargetError(
                words.joined(separator: " "), "send the message", .invalidArgument,
                "a snapshot knows \"overflow POLICY\" and \"grown\"")
        }
    }
}
