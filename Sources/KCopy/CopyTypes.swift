public import BlockIO

/// A range of sectors on a device: one end of a copy.
public struct IORegion: Sendable {
    /// The device.
    public var device: BlockDevice
    /// The sectors.
    public var range: SectorRange

    /// `count` sectors of `device` from `sector`.
    public init(_ device: BlockDevice, sector: UInt64, count: UInt64) {
        self.device = device
        self.range = SectorRange(start: sector, count: count)
    }

    /// The whole device.
    public init(whole device: BlockDevice) {
        self.init(device, sector: 0, count: device.sectors)
    }
}

/// How a job is to be done.
///
/// `ignoreErrors` and `sequential` are kcopyd's, with its bit numbers (1 and 2); the others are ours.
public struct CopyFlags: OptionSet, Hashable, Sendable {
    public var rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Goes on after errors: every piece is tried, error bits accumulate. A piece that could not be read
    /// is not written.
    public static let ignoreErrors = CopyFlags(rawValue: 1 << 1)
    /// Writes strictly in ascending order, one piece at a time; reads stay parallel. Stops at the first
    /// error: `ignoreErrors` is cleared. Set for destinations with zones in any case.
    public static let sequential = CopyFlags(rawValue: 1 << 2)
    /// Does not read what the source says is a hole; the destinations get zeroes there.
    public static let skipHoles = CopyFlags(rawValue: 1 << 8)
    /// Looks for zeroes in what was read, and lets the destinations zero them instead of writing.
    public static let detectZeroes = CopyFlags(rawValue: 1 << 9)
    /// Reads every destination back and compares it with what was read from the source; a
    /// difference is a write error.
    public static let verify = CopyFlags(rawValue: 1 << 10)
    /// Flushes every destination before the completion, so that what it reports is durable.
    public static let flush = CopyFlags(rawValue: 1 << 11)

    /// Every flag there is.
    public static let all: CopyFlags = [.ignoreErrors, .sequential, .skipHoles, .detectZeroes, .verify, .flush]
}

/// Whose work goes first in a lane.
public enum CopyPriority: Int, CaseIterable, Comparable, Sendable {
    /// Somebody waits for it: a write held back by a snapshot, a person at a terminal.
    case copyOnWrite = 0
    /// Brings redundancy back: resync, merge, moves. The default.
    case resync = 1
    /// Whenever nothing else is to be done.
    case scrub = 2

    public static func < (a: CopyPriority, b: CopyPriority) -> Bool { a.rawValue < b.rawValue }
}

/// Where a client's completions run.
public enum CompletionPlace: CaseIterable, Sendable {
    /// On a queue of the client's own. One that blocks delays only this client's others. The default.
    case onOwnQueue
    /// On the queue of the client's lane, as soon as the jobs have ended, those that ended together back to back: for a
    /// completion that only posts a message to somebody, who is then woken without a hop in between. Until it returns
    /// nothing else happens in the lane, so it must not block; nor may it create a client or end the service, which wait for
    /// lanes. It may submit, cancel, change rates, close devices and destroy clients.
    case onLane
}

/// How fast a client may go; both limits hold.
public struct CopyRate: Hashable, Sendable {
    /// Bytes claimed per second; nil for no limit, 0 to hold (jobs wait until the rate is raised).
    public var bytesPerSecond: UInt64?
    /// The share of time, in percent, in which the client may have I/O under way: kcopyd's throttle.
    /// 100 is no limit, 0 holds.
    public var percent: Int

    /// A rate; `percent` is clamped to 0...100.
    public init(bytesPerSecond: UInt64? = nil, percent: Int = 100) {
        self.bytesPerSecond = bytesPerSecond
        self.percent = min(max(percent, 0), 100)
    }

    /// No limit.
    public static let unlimited = CopyRate()
}

/// One error of a job, for people: which side, where, why.
public struct CopyFault: Hashable, Sendable {
    /// What failed.
    public enum Side: Hashable, Sendable {
        /// Reading the source.
        case source
        /// Writing, zeroing, flushing or verifying the destination of this index.
        case destination(Int)
    }

    /// What failed.
    public var side: Side
    /// The sectors of the job it concerns, counted from the start of the region.
    public var range: SectorRange
    /// The error of the system; EILSEQ where verification found a difference.
    public var errno: Int32
}

/// How a job ended.
public struct CopyResult: Hashable, Sendable {
    /// Whether any read failed: kcopyd's `read_err`.
    public var readError: Bool = false
    /// Bit i is set if destination i had an error: kcopyd's `write_err`.
    public var writeErrors: UInt32 = 0
    /// Whether the job was cancelled before everything was claimed.
    public var isCancelled: Bool = false
    /// Sectors copied to all destinations without an error.
    public var copied: UInt64 = 0
    /// Everything before this sector of the region was copied without an error: where to go on.
    public var resumeAt: UInt64 = 0
    /// The first faults, at most `CopyResult.mostFaults`.
    public var faults: [CopyFault] = []

    /// How many faults a result holds at most.
    public static let mostFaults = 16
    /// Whether everything was copied.
    public var isSuccess: Bool { !readError && writeErrors == 0 && !isCancelled }

    /// A result without errors.
    public init() {}
}

/// How far a job is.
public struct CopyProgress: Hashable, Sendable {
    /// Sectors done (copied, zeroed or failed).
    public var done: UInt64
    /// Sectors in all.
    public var total: UInt64
}
