public import Varlink

extension CopyInterface.Failure: CustomStringConvertible {
    private struct ClientParameters: Codable { var client: Int }
    private struct JobParameters: Codable { var job: Int }
    private struct DeviceParameters: Codable { var device: Int }
    private struct DeviceFailedParameters: Codable {
        var object: String
        var operation: String
        var reason: String
        var errno: Int32
    }
    private struct RefusedParameters: Codable {
        var object: String
        var reason: String
        var errno: Int32
    }
    private struct LimitParameters: Codable {
        var what: String
        var limit: Int
    }

    private static func name(_ member: String) -> String { "\(CopyInterface.name).\(member)" }

    /// The error as it goes over the wire.
    public var varlinkError: VarlinkError {
        switch self {
        case .noSuchClient(let client): VarlinkError(Self.name("NoSuchClient"), ClientParameters(client: client))
        case .noSuchJob(let job): VarlinkError(Self.name("NoSuchJob"), JobParameters(job: job))
        case .noSuchDevice(let device): VarlinkError(Self.name("NoSuchDevice"), DeviceParameters(device: device))
        case .deviceFailed(let object, let operation, let reason, let errno):
            VarlinkError(
                Self.name("DeviceFailed"),
                DeviceFailedParameters(object: object, operation: operation, reason: reason, errno: errno))
        case .refused(let object, let reason, let errno):
            VarlinkError(Self.name("Refused"), RefusedParameters(object: object, reason: reason, errno: errno))
        case .limitExceeded(let what, let limit):
            VarlinkError(Self.name("LimitExceeded"), LimitParameters(what: what, limit: limit))
        case .stopping: VarlinkError(Self.name("Stopping"))
        }
    }

    /// The failure that an error from the wire stands for; nil for an error of another interface, or one whose
    /// parameters are not as declared.
    public init?(_ error: VarlinkError) {
        let failure: Self? =
            switch error.name {
            case Self.name("NoSuchClient"):
                error.decodeParameters(as: ClientParameters.self).map { .noSuchClient(client: $0.client) }
            case Self.name("NoSuchJob"): error.decodeParameters(as: JobParameters.self).map { .noSuchJob(job: $0.job) }
            case Self.name("NoSuchDevice"):
                error.decodeParameters(as: DeviceParameters.self).map { .noSuchDevice(device: $0.device) }
            case Self.name("DeviceFailed"):
                error.decodeParameters(as: DeviceFailedParameters.self).map {
                    .deviceFailed(object: $0.object, operation: $0.operation, reason: $0.reason, errno: $0.errno)
                }
            case Self.name("Refused"):
                error.decodeParameters(as: RefusedParameters.self).map {
                    .refused(object: $0.object, reason: $0.reason, errno: $0.errno)
                }
            case Self.name("LimitExceeded"):
                error.decodeParameters(as: LimitParameters.self).map { .limitExceeded(what: $0.what, limit: $0.limit) }
            case Self.name("Stopping"): .stopping
            default: nil
            }
        guard let failure else { return nil }
        self = failure
    }

    /// One line: the object, what failed, why.
    public var description: String {
        switch self {
        case .noSuchClient(let client): "client \(client): no such client"
        case .noSuchJob(let job): "job \(job): no such job"
        case .noSuchDevice(let device): "device \(device): no such device on this connection"
        case .deviceFailed(let object, let operation, let reason, _): "\(object): \(operation): \(reason)"
        case .refused(let object, let reason, _): "\(object): \(reason)"
        case .limitExceeded(let what, let limit): "\(what): the limit of \(limit) is reached"
        case .stopping: "ucopyd: the daemon is stopping and takes no new work"
        }
    }
}
