/// A method of an interface: its name, what it takes and what it answers.
public protocol ControlMethod {
    /// The full name, interface included.
    static var method: String { get }
    /// What it takes.
    associatedtype Parameters: Codable & Sendable
    /// What it answers.
    associatedtype Reply: Codable & Sendable
}

extension CopyInterface {
    /// An answer without fields.
    public struct Empty: Codable, Hashable, Sendable {
        public init() {}
    }

    /// A job's number.
    public struct JobReply: Codable, Hashable, Sendable {
        public var job: Int
        public init(job: Int) { self.job = job }
    }

    public enum CreateClient: ControlMethod {
        public static let method = "\(CopyInterface.name).CreateClient"
        public struct Parameters: Codable, Hashable, Sendable {
            public var pages: Int
            public var name: String?
            public var priority: Priority?
            public var bytesPerSecond: UInt64?
            public var percent: Int?
            public var keep: Bool?

            public init(
                pages: Int, name: String? = nil, priority: Priority? = nil, bytesPerSecond: UInt64? = nil,
                percent: Int? = nil, keep: Bool? = nil
            ) {
                self.pages = pages
                self.name = name
                self.priority = priority
                self.bytesPerSecond = bytesPerSecond
                self.percent = percent
                self.keep = keep
            }
        }
        public struct Reply: Codable, Hashable, Sendable {
            public var client: Int
            public init(client: Int) { self.client = client }
        }
    }

    public enum DestroyClient: ControlMethod {
        public static let method = "\(CopyInterface.name).DestroyClient"
        public struct Parameters: Codable, Hashable, Sendable {
            public var client: Int
            public var cancel: Bool?
            public init(client: Int, cancel: Bool? = nil) {
                self.client = client
                self.cancel = cancel
            }
        }
        public typealias Reply = Empty
    }

    public enum OpenDevice: ControlMethod {
        public static let method = "\(CopyInterface.name).OpenDevice"
        public struct Parameters: Codable, Hashable, Sendable {
            public var path: String?
            public var descriptor: Int?
            public var name: String?
            public var writable: Bool?
            public var force: Bool?
            public init(
                path: String? = nil, descriptor: Int? = nil, name: String? = nil, writable: Bool? = nil,
                force: Bool? = nil
            ) {
                self.path = path
                self.descriptor = descriptor
                self.name = name
                self.writable = writable
                self.force = force
            }
        }
        public struct Reply: Codable, Hashable, Sendable {
            public var device: Int
            public var sectors: UInt64
            public var logicalBlockSize: Int
            public init(device: Int, sectors: UInt64, logicalBlockSize: Int) {
                self.device = device
                self.sectors = sectors
                self.logicalBlockSize = logicalBlockSize
            }
        }
    }

    public enum CloseDevice: ControlMethod {
        public static let method = "\(CopyInterface.name).CloseDevice"
        public struct Parameters: Codable, Hashable, Sendable {
            public var device: Int
            public init(device: Int) { self.device = device }
        }
        public typealias Reply = Empty
    }

    public enum Copy: ControlMethod {
        public static let method = "\(CopyInterface.name).Copy"
        public struct Parameters: Codable, Hashable, Sendable {
            public var client: Int
            public var source: Region
            public var destinations: [Region]
            public var options: Options?
            public init(client: Int, source: Region, destinations: [Region], options: Options? = nil) {
                self.client = client
                self.source = source
                self.destinations = destinations
                self.options = options
            }
        }
        public typealias Reply = JobReply
    }

    public enum Zero: ControlMethod {
        public static let method = "\(CopyInterface.name).Zero"
        public struct Parameters: Codable, Hashable, Sendable {
            public var client: Int
            public var regions: [Region]
            public var options: Options?
            public init(client: Int, regions: [Region], options: Options? = nil) {
                self.client = client
                self.regions = regions
                self.options = options
            }
        }
        public typealias Reply = JobReply
    }

    public enum List: ControlMethod {
        public static let method = "\(CopyInterface.name).List"
        public typealias Parameters = Empty
        public struct Reply: Codable, Hashable, Sendable {
            public var clients: [Client]
            public var jobs: [Job]
            public init(clients: [Client], jobs: [Job]) {
                self.clients = clients
                self.jobs = jobs
            }
        }
    }

    public enum Watch: ControlMethod {
        public static let method = "\(CopyInterface.name).Watch"
        public struct Parameters: Codable, Hashable, Sendable {
            public var job: Int?
            public var client: Int?
            /// Milliseconds between two replies.
            public var interval: Int?
            public init(job: Int? = nil, client: Int? = nil, interval: Int? = nil) {
                self.job = job
                self.client = client
                self.interval = interval
            }
        }
        public struct Reply: Codable, Hashable, Sendable {
            public var job: Job?
            public init(job: Job?) { self.job = job }
        }
    }

    public enum Cancel: ControlMethod {
        public static let method = "\(CopyInterface.name).Cancel"
        public typealias Parameters = JobReply
        public struct Reply: Codable, Hashable, Sendable {
            public var job: Job
            public init(job: Job) { self.job = job }
        }
    }

    public enum SetRate: ControlMethod {
        public static let method = "\(CopyInterface.name).SetRate"
        public struct Parameters: Codable, Hashable, Sendable {
            public var job: Int?
            public var client: Int?
            public var bytesPerSecond: UInt64?
            public var percent: Int?
            public init(job: Int? = nil, client: Int? = nil, bytesPerSecond: UInt64? = nil, percent: Int? = nil) {
                self.job = job
                self.client = client
                self.bytesPerSecond = bytesPerSecond
                self.percent = percent
            }
        }
        public typealias Reply = Empty
    }
}
