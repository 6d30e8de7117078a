extension TargetInterface {
    /// Parameters, or an answer, without fields.
    public typealias Empty = CopyInterface.Empty

    /// A device's name or uuid.
    public struct DeviceParameters: Codable, Hashable, Sendable {
        public var device: String
        public init(device: String) { self.device = device }
    }

    /// A device's name or uuid; all devices without.
    public struct QueryParameters: Codable, Hashable, Sendable {
        public var device: String?
        public var inactive: Bool?
        public init(device: String? = nil, inactive: Bool? = nil) {
            self.device = device
            self.inactive = inactive
        }
    }

    /// A device.
    public struct DeviceReply: Codable, Hashable, Sendable {
        public var device: Device
        public init(device: Device) { self.device = device }
    }

    public enum Create: ControlMethod {
        public static let method = "\(TargetInterface.name).Create"
        public struct Parameters: Codable, Hashable, Sendable {
            public var name: String
            public var uuid: String?
            public var table: String?
            public var readOnly: Bool?
            public var pages: Int?
            public var overflow: Overflow?

            public init(
                name: String, uuid: String? = nil, table: String? = nil, readOnly: Bool? = nil, pages: Int? = nil,
                overflow: Overflow? = nil
            ) {
                self.name = name
                self.uuid = uuid
                self.table = table
                self.readOnly = readOnly
                self.pages = pages
                self.overflow = overflow
            }
        }
        public typealias Reply = DeviceReply
    }

    public enum Remove: ControlMethod {
        public static let method = "\(TargetInterface.name).Remove"
        public struct Parameters: Codable, Hashable, Sendable {
            public var device: String
            public var force: Bool?
            public var deferred: Bool?
            public init(device: String, force: Bool? = nil, deferred: Bool? = nil) {
                self.device = device
                self.force = force
                self.deferred = deferred
            }
        }
        public struct Reply: Codable, Hashable, Sendable {
            /// False where it goes with its last user.
            public var removed: Bool
            public init(removed: Bool) { self.removed = removed }
        }
    }

    /// What `Suspend` and `Resume` take.
    public struct SuspendParameters: Codable, Hashable, Sendable {
        public var device: String
        public var noFlush: Bool?
        public var noLockFS: Bool?
        public init(device: String, noFlush: Bool? = nil, noLockFS: Bool? = nil) {
            self.device = device
            self.noFlush = noFlush
            self.noLockFS = noLockFS
        }
    }

    public enum Suspend: ControlMethod {
        public static let method = "\(TargetInterface.name).Suspend"
        public typealias Parameters = SuspendParameters
        public typealias Reply = Empty
    }

    public enum Resume: ControlMethod {
        public static let method = "\(TargetInterface.name).Resume"
        public typealias Parameters = SuspendParameters
        public typealias Reply = Empty
    }

    public enum Load: ControlMethod {
        public static let method = "\(TargetInterface.name).Load"
        public struct Parameters: Codable, Hashable, Sendable {
            public var device: String
            public var table: String
            public var readOnly: Bool?
            public var pages: Int?
            public var overflow: Overflow?

            public init(
                device: String, table: String, readOnly: Bool? = nil, pages: Int? = nil, overflow: Overflow? = nil
            ) {
                self.device = device
                self.table = table
                self.readOnly = readOnly
                self.pages = pages
                self.overflow = overflow
            }
        }
        public typealias Reply = Empty
    }

    public enum Clear: ControlMethod {
        public static let method = "\(TargetInterface.name).Clear"
        public typealias Parameters = DeviceParameters
        public typealias Reply = Empty
    }

    public enum Rename: ControlMethod {
        public static let method = "\(TargetInterface.name).Rename"
        public struct Parameters: Codable, Hashable, Sendable {
            public var device: String
            public var name: String?
            public var uuid: String?
            public init(device: String, name: String? = nil, uuid: String? = nil) {
                self.device = device
                self.name = name
                self.uuid = uuid
            }
        }
        public typealias Reply = DeviceReply
    }

    public enum Message: ControlMethod {
        public static let method = "\(TargetInterface.name).Message"
        public struct Parameters: Codable, Hashable, Sendable {
            public var device: String
            public var sector: UInt64
            public var text: String
            public init(device: String, sector: UInt64, text: String) {
                self.device = device
                self.sector = sector
                self.text = text
            }
        }
        public struct Reply: Codable, Hashable, Sendable {
            public var text: String
            public init(text: String) { self.text = text }
        }
    }
}
