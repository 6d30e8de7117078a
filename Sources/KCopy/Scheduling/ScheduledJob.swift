import BlockIO
import DequeModule

/// What the scheduler has to know of a job.
struct JobShape {
    /// Sectors.
    var count: UInt64
    /// Whether there is nothing to read.
    var isZero: Bool
    /// Number of destinations.
    var destinations: Int
    /// The largest logical block of its devices, in sectors: pieces are multiples of it.
    var blockSectors: UInt64
    /// Whether every destination can write zeroes by itself: then a piece of zeroes may be long.
    var zeroesAreCheap: Bool
    var flags: CopyFlags
    /// The sectors that other data is laid over after they were read: ascending, with a gap between any two ranges.
    var overlay: [SectorRange] = []
}

/// A stretch of a source, as its file system tells it; `end` counts from the start of the region.
struct Extent: Hashable, Sendable {
    var end: UInt64
    var isHole: Bool
}

/// A job as the scheduler keeps it.
struct ScheduledJob {
    enum Phase: Equatable {
        /// Pieces are claimed or under way.
        case running
        /// The destinations are being flushed; so many have not answered.
        case flushing(Int)
        /// The result stands.
        case finished
    }

    let client: Int
    let shape: JobShape
    var flags: CopyFlags { shape.flags }

    var phase = Phase.running
    /// The first sector that no piece has claimed.
    var cursor: UInt64 = 0
    /// Pieces under way.
    var inFlight = 0
    /// No more pieces are claimed: after an error, or on demand.
    var stopping = false
    /// Whether it stands in its client's queue.
    var isQueued = false
    var result = CopyResult()
    var prefix = CleanPrefix()
    /// Whether anything was written, to whichever destination.
    var hasWritten = false
    /// Sectors of pieces that have ended.
    var done: UInt64 = 0

    /// Where data and holes are, as far as it was found out (skip holes only).
    var extents: Deque<Extent> = []
    /// Whether the next extents were asked for.
    var isMapping = false

    /// Sequential jobs: where the next write has to begin, the pieces that wait for that, and the offset of the first
    /// error, behind which nothing is written.
    var turn: UInt64 = 0
    var waiting: [Int] = []
    var barrier: UInt64 = .max

    init(client: Int, shape: JobShape) {
        self.client = client
        var shape = shape
        // What lies under an overlay is no hole, whatever the source says.
        if !shape.overlay.isEmpty { shape.flags.remove(.skipHoles) }
        // A sequential job stops at its first error, as in kcopyd, and writes everything: zeroing a part of a piece
        // would overtake its neighbours.
        if shape.flags.contains(.sequential) { shape.flags.subtract([.ignoreErrors, .detectZeroes]) }
        self.shape = shape
    }

    /// Whether there are sectors that no piece has claimed.
    var hasUnclaimed: Bool { !stopping && cursor < shape.count }

    /// Notes an error, and stops the job unless it is to go on.
    mutating func note(_ side: CopyFault.Side, _ range: SectorRange, _ errno: Int32) {
        switch side {
        case .source: result.readError = true
        case .destination(let index): result.writeErrors |= 1 << UInt32(index)
        }
        barrier = min(barrier, range.start)
        if !flags.contains(.ignoreErrors) { stopping = true }
        let last = result.faults.last { $0.side == side && $0.errno == errno }
        // Several writes of one piece may fail, and neighbours often fail alike.
        if let last, last.range == range { return }
        if let last, last == result.faults.last, last.range.end == range.start {
            result.faults[result.faults.count - 1].range.count += range.count
        } else if result.faults.count < CopyResult.mostFaults {
            result.faults.append(CopyFault(side: side, range: range, errno: errno))
        }
    }
}
