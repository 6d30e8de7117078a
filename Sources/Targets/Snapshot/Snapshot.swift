import BlockIO
import Glibc

/// A snapshot: an origin, a store, and which chunks of the origin the store holds as they were. Belongs to a queue thread.
///
/// It outlives the target that made it where another takes over: `snapshot` and `snapshot-merge` are two ways to use one.
/// What it promises: a chunk of the origin is written to only after its old content is durable in the store, and
/// nobody reads it as the snapshot's from the origin any more.
final class Snapshot {
    /// How many chunks may be on their way before writers wait: the kernel's `snapshot_cow_threshold`.
    static let mostInFlight: UInt64 = 2048
    /// Chunks that are copied by one job: 1 MiB of them, at least one.
    static let mostCopySectors: UInt64 = 2048

    private(set) var origin: any TargetDevice
    private(set) var cow: any TargetDevice
    let store: any ExceptionStore
    let copier: any ChunkCopier
    let environment: any TargetEnvironment
    /// Where the origin ended when it was taken, in whole blocks of both devices. The last chunk may be shorter than the
    /// others.
    private var originEnd: UInt64
    /// log2 of the chunk size in sectors.
    let chunkShift: UInt64
    /// The committed exceptions.
    let exceptions: ExceptionTable
    /// Chunks that are on their way to becoming exceptions.
    var pending: [UInt64: PendingRun] = [:]
    /// Chunks that are on their way, each once.
    var inFlight: UInt64 = 0
    /// Reads that have gone to the origin.
    var originReads = TransferTracker()
    /// Writes that have gone to chunks of the store.
    var storeWrites = TransferTracker()

    /// Whether it can be used.
    private(set) var isValid = true
    /// Whether its store is being marked as invalid: as long as that is not durable the origin must not change, for the store
    /// would be loaded as a good one after a power cut.
    private(set) var isBeingMarked = false
    /// Told when the store has been marked, or cannot be.
    var whenMarked: [() -> Void] = []
    /// Whether its store was full, and nothing more is written to the snapshot.
    var isOverflowed = false
    /// Whether it has been resumed once: before that the origin does not care for it.
    var isActive = false
    /// Whether it is being merged: its origin's writes are none of its business.
    var isMerging = false
    /// Sectors of the target that it belongs to.
    var length: UInt64
    /// Whether its user understands the state Overflow: the letter O of the table line.
    var understandsOverflow = false
    /// What happens when the store is full. Nobody waits any more where it is not to be waited for.
    var policy: OverflowPolicy {
        didSet { if policy != .hold { releaseHeld() } }
    }
    /// The target that uses it now; it is told what happens.
    weak var owner: (any SnapshotOwner)?

    /// Requests that wait until fewer chunks are on their way.
    private var crowd: [() -> Void] = []
    /// Mapped chunks that a failed write of a merge may have taken from the list on the device: both sides hold the same, and
    /// what was written to either could be lost. Writes to them fail until the merge has gone on.
    var unclear: Set<UInt64> = []
    /// Requests that wait until the store has grown.
    var held: [HeldRequest] = []
    var growthTimer: UInt64?
    var heldAtSectors: UInt64 = 0
    private var lastFill: UInt64 = 0
    /// The size of the store when it was asked for last: that costs a system call.
    private var knownSectors: UInt64
    private var whenDrained: [() -> Void] = []
    private var whenNonePending: [() -> Void] = []
    private var freeParts: [SnapshotPart] = []

    init(
        origin: any TargetDevice, cow: any TargetDevice, store: any ExceptionStore, exceptions: ExceptionTable,
        copier: any ChunkCopier, environment: any TargetEnvironment, length: UInt64, policy: OverflowPolicy
    ) {
        self.origin = origin
        self.cow = cow
        self.store = store
        self.exceptions = exceptions
        self.copier = copier
        self.environment = environment
        self.length = length
        self.policy = policy
        originEnd = Self.end(of: origin, cow)
        chunkShift = UInt64(store.chunkSectors.trailingZeroBitCount)
        knownSectors = cow.sectors
        lastFill = fillTenths
        store.onFailure = { [unowned self] reason in invalidate(reason) }
    }

    /// Chunk size in sectors.
    var chunkSectors: UInt64 { 1 << chunkShift }

    /// The chunks that a range of sectors touches.
    func chunks(_ range: SectorRange) -> Range<UInt64> {
        range.start >> chunkShift..<(range.end + chunkSectors - 1) >> chunkShift
    }

    /// How many sectors of the origin some chunks hold: the last one may be shorter. What an origin has lost since is asked of
    /// it all the same, and fails.
    func sectors(of chunks: Range<UInt64>) -> UInt64 {
        let start = chunks.lowerBound << chunkShift
        let end = chunks.upperBound << chunkShift
        return (start < originEnd ? min(end, originEnd) : end) - start
    }

    private static func end(of origin: any TargetDevice, _ cow: any TargetDevice) -> UInt64 {
        let block = max(origin.logicalBlockSectors, cow.logicalBlockSectors)
        return origin.sectors / block * block
    }

    // MARK: Transfers

    /// A part that is not in use.
    func takePart() -> SnapshotPart {
        freeParts.popLast() ?? SnapshotPart(self)
    }

    func give(_ part: SnapshotPart) {
        part.request = nil
        freeParts.append(part)
    }

    // MARK: Crowding

    /// Calls back when few enough chunks are on their way.
    func whenUncrowded(_ body: @escaping () -> Void) {
        if inFlight <= Self.mostInFlight { body() } else { crowd.append(body) }
    }

    /// Chunks have been filled, or have failed to be.
    func leaveFlight(_ count: UInt64) {
        inFlight -= count
        guard inFlight <= Self.mostInFlight, !crowd.isEmpty else { return }
        var bodies: [() -> Void] = []
        swap(&bodies, &crowd)
        for body in bodies { whenUncrowded(body) }
    }

    // MARK: The end of it

    /// The snapshot cannot be used any more; the origin goes on.
    func invalidate(_ reason: String, as kind: TargetEvent.Kind = .invalidated) {
        guard isValid else { return }
        isValid = false
        isBeingMarked = true
        store.invalidate { [self] isDurable in marked(as: kind, isDurable) }
        owner?.snapshotEvent(TargetEvent(kind, reason))
        releaseHeld()
    }

    /// The store says that it is invalid, or cannot be made to.
    private func marked(as kind: TargetEvent.Kind, _ isDurable: Bool) {
        isBeingMarked = false
        if !isDurable {
            let text = "\(cow.name): the store could not be marked as invalid, and must not be loaded again"
            owner?.snapshotEvent(TargetEvent(kind, text))
        }
        var bodies: [() -> Void] = []
        swap(&bodies, &whenMarked)
        for body in bodies { body() }
    }

    /// Another target uses it from now on, which has opened the devices by itself.
    /// - Parameter left: called when nothing uses the devices any more that it had before: writes to the origin may have
    ///   started copies that are under way.
    func move(origin: any TargetDevice, cow: any TargetDevice, length: UInt64, left: @escaping () -> Void) {
        var runs: [ObjectIdentifier: PendingRun] = [:]
        for run in pending.values { runs[ObjectIdentifier(run)] = run }
        let users = Countdown(runs.count + 1, left)
        for run in runs.values { run.whenOver.append { users.one() } }
        // The header of an invalid snapshot may be on its way.
        if isValid { users.one() } else { store.whenIdle { users.one() } }
        self.origin = origin
        self.cow = cow
        self.length = length
        originEnd = Self.end(of: origin, cow)
        knownSectors = cow.sectors
        store.move(to: cow, exceptions)
    }

    /// Gives its memory back; nothing is under way.
    func close(_ done: @escaping () -> Void) {
        store.whenIdle { [self] in copier.destroy(done) }
    }

    /// The store was found invalid when it was loaded, or the snapshot that was to be taken over has gone.
    func loadedInvalid() { isValid = false }

    /// Calls back when no chunk is on its way any more.
    func drain(_ done: @escaping () -> Void) {
        if pending.isEmpty, originReads.isEmpty, storeWrites.isEmpty { done() } else { whenDrained.append(done) }
    }

    /// Calls back when no chunk is on its way to becoming an exception.
    func whenNothingPending(_ done: @escaping () -> Void) {
        if pending.isEmpty { done() } else { whenNonePending.append(done) }
    }

    /// Looks whether somebody waits for the end of everything.
    func checkDrained() {
        if pending.isEmpty, !whenNonePending.isEmpty {
            var bodies: [() -> Void] = []
            swap(&bodies, &whenNonePending)
            for body in bodies { body() }
        }
        guard !whenDrained.isEmpty, pending.isEmpty, originReads.isEmpty, storeWrites.isEmpty else { return }
        var bodies: [() -> Void] = []
        swap(&bodies, &whenDrained)
        for body in bodies { body() }
    }

    // MARK: Room

    /// Gives chunks of the store away that follow each other, 1 to `count`; nil where it is full. Its device is asked for its
    /// size only where what is known of that is not enough: it may have grown.
    func allocate(_ count: UInt64) -> (first: UInt64, count: UInt64)? {
        if let given = store.allocate(count, sectors: knownSectors) { return given }
        knownSectors = cow.sectors
        return store.allocate(count, sectors: knownSectors)
    }

    /// Whether the store has room for so many chunks.
    func hasRoom(_ count: UInt64) -> Bool {
        if store.canAllocate(count, sectors: knownSectors) { return true }
        knownSectors = cow.sectors
        return store.canAllocate(count, sectors: knownSectors)
    }

    // MARK: Fill

    private var fillTenths: UInt64 {
        let total = knownSectors
        return total == 0 ? 0 : store.usage.allocated * 10 / total
    }

    /// Tells when the store has become fuller by a tenth.
    func checkFill() {
        let now = fillTenths
        guard now > lastFill else { return }
        lastFill = now
        let (allocated, _) = store.usage
        let text = "\(cow.name): \(allocated) of \(knownSectors) sectors of the store are in use"
        owner?.snapshotEvent(TargetEvent(.fill, text))
    }
}

/// The target that uses a snapshot.
protocol SnapshotOwner: AnyObject {
    /// Something has happened to the snapshot.
    func snapshotEvent(_ event: TargetEvent)
}

/// Somebody whose requests may have to wait for room in a store.
protocol RequestSender: AnyObject {
    /// Takes a request back that would have to wait; nil but while it is being suspended.
    var takesBack: ((BlockRequest) -> Void)? { get }
}

/// A request that waits for room in a store.
struct HeldRequest {
    /// The request.
    var request: BlockRequest
    /// The target that it was sent to.
    let owner: any RequestSender
    /// Tries again.
    let retry: (BlockRequest) -> Void
}
