public import SystemPackage
import UnixSockets

/// A failure of the socket or of the protocol on it, as opposed to an error that a service replied with.
public struct VarlinkConnectionError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public struct Code: Sendable, Hashable {
        private enum Kind { case addressInUse, system, closed, shutDown, protocolViolation }
        private let kind: Kind

        /// Another live service answers at the path, or holds its lock.
        public static let addressInUse = Code(kind: .addressInUse)
        /// A system call failed; `errno` says why.
        public static let system = Code(kind: .system)
        /// The other end closed the connection before the reply.
        public static let closed = Code(kind: .closed)
        /// This end called `shutdown()`.
        public static let shutDown = Code(kind: .shutDown)
        /// The other end sent something that is not Varlink, or the caller asked to send it.
        public static let protocolViolation = Code(kind: .protocolViolation)
    }

    /// The kind of failure.
    public let code: Code
    /// The socket's path, or a description where it has none.
    public let object: String
    /// What was being done.
    public let operation: String
    /// The system's reason, where a system call failed.
    public let errno: Errno?
    /// The reason in words, where there is no `errno` or it does not say enough.
    public let reason: String?

    init(_ code: Code, object: String, operation: String, errno: Errno? = nil, reason: String? = nil) {
        self.code = code
        self.object = object
        self.operation = operation
        self.errno = errno
        self.reason = reason
    }

    init(_ error: SocketFileError) {
        let isTaken = error.errno == .addressInUse
        self.init(
            isTaken ? .addressInUse : .system, object: error.object, operation: error.operation,
            errno: isTaken ? nil : error.errno, reason: isTaken ? error.reason : nil)
    }

    public var description: String {
        let why = [reason, errno.map { "\($0)" }].compactMap { $0 }.joined(separator: ": ")
        return "\(object): \(operation): \(why)"
    }
}

/// How a call can fail: by the service's own reply, or by the way there.
public enum VarlinkCallError: Error, Sendable, CustomStringConvertible {
    /// The service replied with an error.
    case reply(VarlinkError)
    /// No reply could be had.
    case connection(VarlinkConnectionError)

    public var description: String {
        switch self {
        case .reply(let error): "\(error)"
        case .connection(let error): "\(error)"
        }
    }
}
