extension TargetInterface {
    public enum Status: ControlMethod {
        public static let method = "\(TargetInterface.name).Status"
        public typealias Parameters = QueryParameters
        public struct Reply: Codable, Hashable, Sendable {
            public var devices: [DeviceStatus]
            public init(devices: [DeviceStatus]) { self.devices = devices }
        }
    }

    public enum Table: ControlMethod {
        public static let method = "\(TargetInterface.name).Table"
        public typealias Parameters = QueryParameters
        public struct Reply: Codable, Hashable, Sendable {
            public var devices: [DeviceTable]
            public init(devices: [DeviceTable]) { self.devices = devices }
        }
    }

    public enum Dependencies: ControlMethod {
        public static let method = "\(TargetInterface.name).Dependencies"
        public struct Parameters: Codable, Hashable, Sendable {
            public var device: String?
            public init(device: String? = nil) { self.device = device }
        }
        public struct Reply: Codable, Hashable, Sendable {
            public var devices: [DeviceDependencies]
            public init(devices: [DeviceDependencies]) { self.devices = devices }
        }
    }

    public enum Info: ControlMethod {
        public static let method = "\(TargetInterface.name).Info"
        public typealias Parameters = DeviceParameters
        public typealias Reply = DeviceReply
    }

    public enum List: ControlMethod {
        public static let method = "\(TargetInterface.name).List"
        public struct Parameters: Codable, Hashable, Sendable {
            public var target: String?
            public init(target: String? = nil) { self.target = target }
        }
        public struct Reply: Codable, Hashable, Sendable {
            public var devices: [Device]
            public init(devices: [Device]) { self.devices = devices }
        }
    }

    public enum Targets: ControlMethod {
        public static let method = "\(TargetInterface.name).Targets"
        public typealias Parameters = Empty
        public struct Reply: Codable, Hashable, Sendable {
            public var targets: [TargetType]
            public init(targets: [TargetType]) { self.targets = targets }
        }
    }
}
