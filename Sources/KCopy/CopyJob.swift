import BlockIO
import Synchronization

/// A job that was accepted. Its completion comes once, where its client's completions run.
public final class CopyJob: @unchecked Sendable {  // immutable but for `index`, which belongs to the lane's queue
    /// A number that no other job of this process ever has.
    public let id: UInt64
    /// Sectors in all.
    public let total: UInt64
    /// Where it copies from; nil where it zeroes.
    public let source: IORegion?
    /// Where it writes.
    public let destinations: [IORegion]
    /// How.
    public let flags: CopyFlags

    /// All its regions, the source first.
    let regions: [IORegion]
    /// What is laid over the source's data.
    let overlay: CopyOverlay?
    let client: CopyClient
    let completion: @Sendable (CopyResult) -> Void
    /// Sectors done; written on the lane's queue, read anywhere.
    let done = Atomic<UInt64>(0)
    /// The lane's number of the job while the lane has it.
    var index: Int?

    private static let lastID = Atomic<UInt64>(0)

    init(
        client: CopyClient, regions: [IORegion], source: IORegion?, destinations: [IORegion], flags: CopyFlags,
        overlay: CopyOverlay?, completion: @escaping @Sendable (CopyResult) -> Void
    ) {
        id = Self.lastID.add(1, ordering: .relaxed).newValue
        self.client = client
        self.regions = regions
        self.source = source
        self.destinations = destinations
        self.flags = flags
        self.overlay = overlay
        self.completion = completion
        total = destinations[0].range.count
    }

    /// How far it is.
    public var progress: CopyProgress { CopyProgress(done: done.load(ordering: .relaxed), total: total) }

    /// Claims no more pieces. The completion comes when those under way have ended, with `isCancelled` set
    /// if anything was left out.
    public func cancel() { client.lane.post(.cancel(self)) }
}
