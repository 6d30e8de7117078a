import ControlAPI
import SystemPackage
import Targets

extension TargetInterface.Failure {
    init(_ error: TargetError) {
        self = .failed(
            object: error.object, operation: error.operation, reason: error.reason, errno: error.errno.rawValue)
    }
}

extension TargetInterface.Device {
    init(_ info: MappedDeviceInfo, socket: FilePath) {
        self.init(
            name: info.name, uuid: info.uuid.isEmpty ? nil : info.uuid, suspended: info.isSuspended,
            readOnly: info.isReadOnly, deferredRemove: info.isRemovalDeferred, liveTable: info.hasLive,
            inactiveTable: info.hasInactive, openCount: info.openCount, eventNumber: Int(info.eventNumber),
            targets: info.targetCount, sectors: info.sectors, socket: socket.string)
    }
}

extension [String: TargetInterface.Detail] {
    /// What a target tells of itself, by name; of two of one name the first.
    init(_ details: [TargetDetail]) {
        self.init(
            details.map { detail in
                switch detail.value {
                case .number(let number): (detail.name, .number(number))
                case .text(let text): (detail.name, .text(text))
                case .flag(let flag): (detail.name, .flag(flag))
                }
            }, uniquingKeysWith: { first, _ in first })
    }
}

extension OverflowPolicy {
    init(_ policy: TargetInterface.Overflow) {
        self =
            switch policy {
            case .invalidate: .invalidate
            case .hold: .hold
            case .detach: .detach
            }
    }
}

extension TargetInterface.EventKind {
    init(_ kind: TargetEvent.Kind) {
        self =
            switch kind {
            case .invalidated: .invalidated
            case .overflow: .overflow
            case .held: .held
            case .released: .released
            case .detached: .detached
            case .fill: .fill
            case .mergeProgress: .mergeProgress
            case .mergeFinished: .mergeFinished
            case .mergeFailed: .mergeFailed
            }
    }
}
