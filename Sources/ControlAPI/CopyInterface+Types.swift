extension CopyInterface {
    /// Whose work goes first.
    public enum Priority: String, Codable, Sendable, CaseIterable {
        case copyOnWrite, resync, scrub
    }

    /// One end of a copy.
    public struct Region: Codable, Hashable, Sendable {
        /// A device of this connection.
        public var device: Int?
        /// A path, for callers with the daemon's own user id.
        public var path: String?
        /// The index of a descriptor that came with the call.
        public var descriptor: Int?
        /// What to call the device of a descriptor.
        public var name: String?
        /// First sector; 0 where missing.
        public var sector: UInt64?
        /// Sectors.
        public var count: UInt64?

        public init(
            device: Int? = nil, path: String? = nil, descriptor: Int? = nil, name: String? = nil,
            sector: UInt64? = nil, count: UInt64? = nil
        ) {
            self.device = device
            self.path = path
            self.descriptor = descriptor
            self.name = name
            self.sector = sector
            self.count = count
        }
    }

    /// How a job is done; missing is false.
    public struct Options: Codable, Hashable, Sendable {
        public var ignoreErrors: Bool?
        public var sequential: Bool?
        public var skipHoles: Bool?
        public var detectZeroes: Bool?
        public var verify: Bool?
        public var flush: Bool?
        public var force: Bool?

        public init(
            ignoreErrors: Bool? = nil, sequential: Bool? = nil, skipHoles: Bool? = nil,
            detectZeroes: Bool? = nil, verify: Bool? = nil, flush: Bool? = nil, force: Bool? = nil
        ) {
            self.ignoreErrors = ignoreErrors
            self.sequential = sequential
            self.skipHoles = skipHoles
            self.detectZeroes = detectZeroes
            self.verify = verify
            self.flush = flush
            self.force = force
        }
    }

    /// An error of a job.
    public struct Fault: Codable, Hashable, Sendable {
        /// The destination's index; missing for the source.
        public var destination: Int?
        /// First sector, counted from the start of the region.
        public var sector: UInt64
        /// Sectors.
        public var count: UInt64
        /// The system's error number.
        public var errno: Int32
        /// The same in words.
        public var reason: String

        public init(destination: Int?, sector: UInt64, count: UInt64, errno: Int32, reason: String) {
            self.destination = destination
            self.sector = sector
            self.count = count
            self.errno = errno
            self.reason = reason
        }
    }

    /// What a job does.
    public enum Kind: String, Codable, Sendable { case copy, zero }

    /// How a job stands.
    public enum State: String, Codable, Sendable { case running, done, failed, cancelled }

    /// A job.
    public struct Job: Codable, Hashable, Sendable {
        public var job: Int
        public var client: Int
        public var name: String
        public var kind: Kind
        public var state: State
        public var source: String?
        public var destinations: [String]
        /// Bytes done.
        public var bytes: UInt64
        /// Bytes in all.
        public var totalBytes: UInt64
        /// Bytes that reached every destination without an error.
        public var copiedBytes: UInt64
        /// The sector of the region before which everything was copied.
        public var resumeAt: UInt64
        /// Time since the job was started, or that it took.
        public var seconds: Double
        /// Its client's limit in bytes per second, if there is one.
        public var bytesPerSecond: UInt64?
        /// Its client's limit in percent of time.
        public var percent: Int
        public var readError: Bool
        public var writeErrors: [Bool]
        public var faults: [Fault]

        public init(
            job: Int, client: Int, name: String, kind: Kind, state: State, source: String?,
            destinations: [String], bytes: UInt64, totalBytes: UInt64, copiedBytes: UInt64, resumeAt: UInt64,
            seconds: Double, bytesPerSecond: UInt64?, percent: Int, readError: Bool, writeErrors: [Bool],
            faults: [Fault]
        ) {
            self.job = job
            self.client = client
            self.name = name
            self.kind = kind
            self.state = state
            self.source = source
            self.destinations = destinations
            self.bytes = bytes
            self.totalBytes = totalBytes
            self.copiedBytes = copiedBytes
            self.resumeAt = resumeAt
            self.seconds = seconds
            self.bytesPerSecond = bytesPerSecond
            self.percent = percent
            self.readError = readError
            self.writeErrors = writeErrors
            self.faults = faults
        }
    }

    /// A client.
    public struct Client: Codable, Hashable, Sendable {
        public var client: Int
        public var name: String
        public var priority: Priority
        /// Budget in 4 KiB pages.
        public var pages: Int
        /// Whether the budget is locked in memory.
        public var locked: Bool
        public var pid: Int32
        public var uid: UInt32
        /// Whether its jobs outlive its connection.
        public var keep: Bool
        public var bytesPerSecond: UInt64?
        public var percent: Int
        /// Jobs that have not ended.
        public var jobs: Int

        public init(
            client: Int, name: String, priority: Priority, pages: Int, locked: Bool, pid: Int32, uid: UInt32,
            keep: Bool, bytesPerSecond: UInt64?, percent: Int, jobs: Int
        ) {
            self.client = client
            self.name = name
            self.priority = priority
            self.pages = pages
            self.locked = locked
            self.pid = pid
            self.uid = uid
            self.keep = keep
            self.bytesPerSecond = bytesPerSecond
            self.percent = percent
            self.jobs = jobs
        }
    }
}
