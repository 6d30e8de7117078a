extension TargetInterface {
    /// What happens when a snapshot's store is full.
    public enum Overflow: String, Codable, Sendable, CaseIterable {
        case invalidate, hold, detach
    }

    /// A mapped device.
    public struct Device: Codable, Hashable, Sendable {
        public var name: String
        public var uuid: String?
        public var suspended: Bool
        public var readOnly: Bool
        /// Whether it goes with the last of its users.
        public var deferredRemove: Bool
        public var liveTable: Bool
        public var inactiveTable: Bool
        /// Connections to its socket.
        public var openCount: Int
        /// Events as the kernel counts them.
        public var eventNumber: Int
        /// Targets of the live table.
        public var targets: Int
        /// Size of the live table in sectors.
        public var sectors: UInt64
        /// The same in bytes.
        public var bytes: UInt64
        /// The path of its NBD socket.
        public var socket: String

        public init(
            name: String, uuid: String?, suspended: Bool, readOnly: Bool, deferredRemove: Bool, liveTable: Bool,
            inactiveTable: Bool, openCount: Int, eventNumber: Int, targets: Int, sectors: UInt64, socket: String
        ) {
            self.name = name
            self.uuid = uuid
            self.suspended = suspended
            self.readOnly = readOnly
            self.deferredRemove = deferredRemove
            self.liveTable = liveTable
            self.inactiveTable = inactiveTable
            self.openCount = openCount
            self.eventNumber = eventNumber
            self.targets = targets
            self.sectors = sectors
            self.bytes = sectors << 9
            self.socket = socket
        }
    }

    /// A line of a table.
    public struct TableLine: Codable, Hashable, Sendable {
        /// First sector.
        public var start: UInt64
        /// Sectors.
        public var length: UInt64
        public var target: String
        /// The words behind the target, as the kernel prints them.
        public var text: String

        public init(start: UInt64, length: UInt64, target: String, text: String) {
            self.start = start
            self.length = length
            self.target = target
            self.text = text
        }
    }

    /// The table of a device.
    public struct DeviceTable: Codable, Hashable, Sendable {
        public var name: String
        public var uuid: String?
        public var lines: [TableLine]

        public init(name: String, uuid: String?, lines: [TableLine]) {
            self.name = name
            self.uuid = uuid
            self.lines = lines
        }
    }

    /// What a target says of itself.
    public struct StatusLine: Codable, Hashable, Sendable {
        /// First sector.
        public var start: UInt64
        /// Sectors.
        public var length: UInt64
        public var target: String
        /// The words behind the target, as the kernel prints them.
        public var text: String
        /// The same and more, by name; sizes are bytes.
        public var details: [String: Detail]

        public init(start: UInt64, length: UInt64, target: String, text: String, details: [String: Detail]) {
            self.start = start
            self.length = length
            self.target = target
            self.text = text
            self.details = details
        }
    }

    /// The status of a device.
    public struct DeviceStatus: Codable, Hashable, Sendable {
        public var name: String
        public var uuid: String?
        public var lines: [StatusLine]

        public init(name: String, uuid: String?, lines: [StatusLine]) {
            self.name = name
            self.uuid = uuid
            self.lines = lines
        }
    }

    /// The devices that a device uses.
    public struct DeviceDependencies: Codable, Hashable, Sendable {
        public var name: String
        public var uuid: String?
        /// `MAJOR:MINOR`, or the path of an image file.
        public var devices: [String]

        public init(name: String, uuid: String?, devices: [String]) {
            self.name = name
            self.uuid = uuid
            self.devices = devices
        }
    }

    /// A kind of target.
    public struct TargetType: Codable, Hashable, Sendable {
        public var name: String
        /// The version of the kernel's target that it is like: major, minor, patch level.
        public var version: [Int]

        public init(name: String, version: [Int]) {
            self.name = name
            self.version = version
        }
    }

    /// A detail: a number, a word or a truth.
    public enum Detail: Codable, Hashable, Sendable {
        case number(UInt64)
        case text(String)
        case flag(Bool)

        public init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let flag = try? container.decode(Bool.self) {
                self = .flag(flag)
            } else if let number = try? container.decode(UInt64.self) {
                self = .number(number)
            } else {
                self = .text(try container.decode(String.self))
            }
        }

        public func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .number(let number): try container.encode(number)
            case .text(let text): try container.encode(text)
            case .flag(let flag): try container.encode(flag)
            }
        }
    }
}
