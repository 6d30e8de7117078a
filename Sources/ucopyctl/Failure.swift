import BlockIO
import KCopy
import SystemPackage

/// How the program ends. Thrown where everything there is to say has been said.
enum ExitStatus: Int32, Error {
    /// Everything asked for was done.
    case done = 0
    /// It was not done.
    case failed = 1
    /// The command line makes no sense; nothing was started.
    case usage = 2
    /// Finished, with errors on some ranges that the user asked to pass over.
    case incomplete = 3
    /// Stopped by SIGINT or SIGTERM.
    case interrupted = 130
}

/// What the program could not do, told in one line: the object, what failed, why.
struct Failure: Error, Hashable, CustomStringConvertible {
    /// A path, a job, a socket.
    var object: String
    /// What failed: "open", "connect".
    var operation: String
    /// Why.
    var reason: String
    /// What the program ends with because of it.
    var status: ExitStatus

    init(_ object: String, _ operation: String, _ reason: String, status: ExitStatus = .failed) {
        self.object = object
        self.operation = operation
        self.reason = reason
        self.status = status
    }

    init(_ object: String, _ operation: String, _ error: Errno) {
        self.init(object, operation, error.description)
    }

    init(_ error: BlockError) {
        self.init(error.object, error.operation, error.reason)
    }

    /// A copy or a zeroing that was refused.
    init(_ error: CopyError, _ operation: String) {
        self.init(error.object, operation, error.reason)
    }

    /// `OBJECT: OPERATION: REASON`.
    var description: String { "\(object): \(operation): \(reason)" }
}
