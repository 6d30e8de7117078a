import Glibc
public import Varlink

extension TargetInterface {
    /// The errors that the interface declares; the parameters are encoded as declared.
    public enum Failure: Error, Hashable, Sendable {
        case noSuchDevice(device: String)
        case exists(object: String, reason: String)
        case inUse(device: String, clients: Int)
        case failed(object: String, operation: String, reason: String, errno: Int32)
        case stopping
    }
}

extension TargetInterface.Failure: CustomStringConvertible {
    private struct DeviceParameters: Codable { var device: String }
    private struct ExistsParameters: Codable {
        var object: String
        var reason: String
    }
    private struct InUseParameters: Codable {
        var device: String
        var clients: Int
    }
    private struct FailedParameters: Codable {
        var object: String
        var operation: String
        var reason: String
        var errno: Int32
    }

    private static func name(_ member: String) -> String { "\(TargetInterface.name).\(member)" }

    /// The error as it goes over the wire.
    public var varlinkError: VarlinkError {
        switch self {
        case .noSuchDevice(let device): VarlinkError(Self.name("NoSuchDevice"), DeviceParameters(device: device))
        case .exists(let object, let reason):
            VarlinkError(Self.name("Exists"), ExistsParameters(object: object, reason: reason))
        case .inUse(let device, let clients):
            VarlinkError(Self.name("InUse"), InUseParameters(device: device, clients: clients))
        case .failed(let object, let operation, let reason, let errno):
            VarlinkError(
                Self.name("Failed"),
                FailedParameters(object: object, operation: operation, reason: reason, errno: errno))
        case .stopping: VarlinkError(Self.name("Stopping"))
        }
    }

    /// The failure that an error from the wire stands for; nil for an error of another interface, or one whose
    /// parameters are not as declared.
    public init?(_ error: VarlinkError) {
        let failure: Self? =
            switch error.name {
            case Self.name("NoSuchDevice"):
                error.decodeParameters(as: DeviceParameters.self).map { .noSuchDevice(device: $0.device) }
            case Self.name("Exists"):
                error.decodeParameters(as: ExistsParameters.self).map { .exists(object: $0.object, reason: $0.reason) }
            case Self.name("InUse"):
                error.decodeParameters(as: InUseParameters.self).map { .inUse(device: $0.device, clients: $0.clients) }
            case Self.name("Failed"):
                error.decodeParameters(as: FailedParameters.self).map {
                    .failed(object: $0.object, operation: $0.operation, reason: $0.reason, errno: $0.errno)
                }
            case Self.name("Stopping"): .stopping
            default: nil
            }
        guard let failure else { return nil }
        self = failure
    }

    /// The nearest error number of the system, positive.
    public var errno: Int32 {
        switch self {
        case .noSuchDevice: ENXIO
        case .exists: EEXIST
        case .inUse: EBUSY
        case .failed(_, _, _, let errno): errno
        case .stopping: ESHUTDOWN
        }
    }

    /// One line: the object, what failed, why.
    public var description: String {
        switch self {
        case .noSuchDevice(let device): "\(device): no such device"
        case .exists(let object, let reason): "\(object): \(reason)"
        case .inUse(let device, let clients): "\(device): in use by \(clients) client\(clients == 1 ? "" : "s")"
        case .failed(let object, let operation, let reason, _): "\(object): \(operation): \(reason)"
        case .stopping: "ucopyd: the daemon is stopping and takes no new work"
        }
    }
}
