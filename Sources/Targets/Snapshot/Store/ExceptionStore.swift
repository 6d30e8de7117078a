/// Where a snapshot keeps which chunk of its store holds which chunk of the origin. Belongs to a queue thread.
///
/// A chunk is given away, filled, and then committed; once it is committed the exception holds for good.
protocol ExceptionStore: AnyObject {
    /// Chunk size in sectors.
    var chunkSectors: UInt64 { get }
    /// Sectors in use, and of them those that hold no data, as the status line prints them.
    var usage: (allocated: UInt64, metadata: UInt64) { get }
    /// Whether a merge can take its exceptions back, one after the other.
    var canMerge: Bool { get }
    /// Called once, when a commit could not be made durable: nothing can be committed any more.
    var onFailure: ((_ reason: String) -> Void)? { get set }

    /// Gives chunks that follow each other away: the first, and how many, 1 to `count`; nil where the store, which has so
    /// many sectors now, is full.
    func allocate(_ count: UInt64, sectors: UInt64) -> (first: UInt64, count: UInt64)?
    /// Whether so many chunks could be given away now.
    func canAllocate(_ count: UInt64, sectors: UInt64) -> Bool
    /// Makes exceptions durable whose chunks have been filled; then calls back, with false if that failed.
    func commit(_ run: ExceptionRun, done: @escaping (Bool) -> Void)
    /// Chunks that were given away will not be committed: filling them has failed.
    func abandon(_ count: UInt64)
    /// Notes durably that the exceptions are not to be used any more; then calls back, with false if that failed.
    func invalidate(_ done: @escaping (Bool) -> Void)
    /// Calls back as soon as no commit and no note is on its way.
    func whenIdle(_ body: @escaping () -> Void)
    /// The device has been opened anew by another target. Nothing that these exceptions name is given away again.
    func move(to device: any TargetDevice, _ exceptions: ExceptionTable)
}
