import Glibc
import SystemPackage
public import Varlink

/// Why a call of the daemon did not do what it should.
public enum ControlError: Error, Sendable, CustomStringConvertible {
    /// The daemon refused, with an error of `io.ucopyd.Copy`.
    case failure(CopyInterface.Failure)
    /// The daemon refused, with an error of `io.ucopyd.Target`.
    case target(TargetInterface.Failure)
    /// The daemon replied with another interface's error: the standard ones, such as
    /// `org.varlink.service.PermissionDenied`.
    case reply(VarlinkError)
    /// The daemon could not be reached, or went away.
    case connection(VarlinkConnectionError)

    /// What a call's error means, whichever interface it belongs to.
    public init(_ error: VarlinkCallError) {
        switch error {
        case .connection(let error): self = .connection(error)
        case .reply(let error):
            if let failure = CopyInterface.Failure(error) {
                self = .failure(failure)
            } else if let failure = TargetInterface.Failure(error) {
                self = .target(failure)
            } else {
                self = .reply(error)
            }
        }
    }

    /// The nearest error number of the system, positive.
    public var errno: Int32 {
        switch self {
        case .failure(let failure): failure.errno
        case .target(let failure): failure.errno
        case .reply(let error):
            switch error {
            case .permissionDenied: EACCES
            default: error.name == "org.varlink.service.InvalidParameter" ? EINVAL : EPROTO
            }
        case .connection(let error): error.errno?.rawValue ?? (error.code == .protocolViolation ? EPROTO : ECONNRESET)
        }
    }

    /// One line: the object, what failed, why.
    public var description: String {
        switch self {
        case .failure(let failure): failure.description
        case .target(let failure): failure.description
        case .connection(let error): error.description
        case .reply(let error):
            if error == .permissionDenied {
                "ucopyd: permission denied: only the daemon's own user may name devices by path or change mapped devices"
            } else {
                "ucopyd: \(error)"
            }
        }
    }
}

extension CopyInterface.Failure {
    /// The nearest error number of the system, positive.
    public var errno: Int32 {
        switch self {
        case .noSuchClient, .noSuchJob: ENOENT
        case .noSuchDevice: EBADF
        case .deviceFailed(_, _, _, let errno), .refused(_, _, let errno): errno
        case .limitExceeded: EDQUOT
        case .stopping: ESHUTDOWN
        }
    }
}
