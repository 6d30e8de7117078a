extension TargetInterface {
    /// What happened.
    public enum EventKind: String, Codable, Sendable, CaseIterable {
        // What has happened to a device.
        case created, removed, renamed, suspended, resumed, loaded, cleared, removalDeferred, resized, flushFailed
        // What has happened to a target.
        case invalidated, overflow, held, released, detached, fill, mergeProgress, mergeFinished, mergeFailed
    }

    /// Something that has happened to a device.
    public struct Event: Codable, Hashable, Sendable {
        /// Rises by one with every event of the daemon.
        public var number: Int
        /// Seconds since 1970-01-01 00:00 UTC.
        public var time: Double
        /// The device's name, after the event.
        public var device: String
        public var uuid: String?
        public var kind: EventKind
        /// For people.
        public var text: String
        /// The device's events as the kernel counts them.
        public var eventNumber: Int
        /// What the targets tell beyond their status lines, for events of targets.
        public var details: [String: Detail]

        public init(
            number: Int, time: Double, device: String, uuid: String?, kind: EventKind, text: String, eventNumber: Int,
            details: [String: Detail]
        ) {
            self.number = number
            self.time = time
            self.device = device
            self.uuid = uuid
            self.kind = kind
            self.text = text
            self.eventNumber = eventNumber
            self.details = details
        }
    }

    public enum Wait: ControlMethod {
        public static let method = "\(TargetInterface.name).Wait"
        public struct Parameters: Codable, Hashable, Sendable {
            public var device: String
            public var eventNumber: Int?
            public var until: [EventKind]?
            public init(device: String, eventNumber: Int? = nil, until: [EventKind]? = nil) {
                self.device = device
                self.eventNumber = eventNumber
                self.until = until
            }
        }
        public struct Reply: Codable, Hashable, Sendable {
            public var eventNumber: Int
            public var event: Event?
            public init(eventNumber: Int, event: Event?) {
                self.eventNumber = eventNumber
                self.event = event
            }
        }
    }

    public enum Events: ControlMethod {
        public static let method = "\(TargetInterface.name).Events"
        public struct Parameters: Codable, Hashable, Sendable {
            public var device: String?
            public init(device: String? = nil) { self.device = device }
        }
        public struct Reply: Codable, Hashable, Sendable {
            public var event: Event?
            public init(event: Event?) { self.event = event }
        }
    }
}
