import ArgumentParser
import ControlAPI
import Glibc
import SystemPackage
import Varlink

/// Which daemon is meant.
struct ConnectionOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The daemon's socket (default: $UCOPYD_SOCKET, else /run/ucopyd/io.ucopyd).", valueName: "path"))
    var socket: String?

    /// Connects to the daemon.
    /// - Parameter canCopyLocally: whether the verb at hand works without a daemon.
    func connect(canCopyLocally: Bool = false) throws(Failure) -> ControlConnection {
        do throws(ControlError) {
            return try ControlConnection(path: ControlSocket.path(socket))
        } catch {
            throw Self.unreachable(error, canCopyLocally)
        }
    }

    private static func unreachable(_ error: ControlError, _ canCopyLocally: Bool) -> Failure {
        guard case .connection(let error) = error else { return Failure(error, "connect") }
        let advice =
            switch error.errno {
            case .noSuchFileOrDirectory, .connectionRefused:
                "; start the daemon (systemctl start ucopyd)"
                    + (canCopyLocally ? ", or add --local to copy without it" : "")
            case .permissionDenied:
                "; the socket is for root and the group disk" + (canCopyLocally ? "; --local copies without it" : "")
            default: ""
            }
        return Failure(error.object, "connect", Failure.reason(error) + advice)
    }
}

extension Failure {
    /// What the daemon, or the way to it, had to say about an operation.
    init(_ error: ControlError, _ operation: String) {
        switch error {
        case .failure(let failure): self.init(failure, operation)
        case .target(let failure): self.init(failure, operation)
        case .reply: self.init(detail: "\(error)", operation)
        case .connection(let error): self.init(error.object, operation, Self.reason(error))
        }
    }

    private init(_ failure: CopyInterface.Failure, _ operation: String) {
        switch failure {
        case .deviceFailed(let object, let operation, let reason, _): self.init(object, operation, reason)
        case .refused(let object, let reason, _): self.init(object, operation, reason)
        case .noSuchJob(let job): self.init("job \(job)", operation, "no such job")
        case .limitExceeded(let what, let limit):
            self.init("ucopyd", operation, "\(what): the limit of \(limit) is reached")
        case .noSuchClient, .noSuchDevice, .stopping: self.init(detail: "\(failure)", operation)
        }
    }

    private init(_ failure: TargetInterface.Failure, _ operation: String) {
        switch failure {
        case .noSuchDevice(let device): self.init(device, operation, "no such device")
        case .exists(let object, let reason): self.init(object, operation, reason)
        case .inUse(let device, let clients):
            self.init(device, operation, "it is in use by \(Human.plural(clients, "client"))")
        case .failed(let object, let operation, let reason, _): self.init(object, operation, reason)
        case .stopping: self.init(detail: "\(failure)", operation)
        }
    }

    /// From a line that begins with its object.
    private init(detail: String, _ operation: String) {
        let text = detail.hasPrefix("ucopyd: ") ? String(detail.dropFirst("ucopyd: ".count)) : detail
        self.init("ucopyd", operation, text)
    }

    static func reason(_ error: VarlinkConnectionError) -> String {
        let parts = [error.reason, error.errno?.description].compactMap { $0 }
        return parts.isEmpty ? "the connection failed" : parts.joined(separator: ": ")
    }
}
