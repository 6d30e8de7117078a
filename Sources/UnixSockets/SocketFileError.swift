package import SystemPackage

/// Why a listening socket cannot be put at a path, in the order in which it is told: the object, the operation, the reason.
package struct SocketFileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The path.
    package let object: String
    /// What was being done.
    package let operation: String
    /// The nearest error number: `addressInUse` where somebody else's socket or file is at the path.
    package let errno: Errno
    /// Why it failed, for people.
    package let reason: String

    init(_ object: String, _ operation: String, _ errno: Errno, reason: String? = nil) {
        self.object = object
        self.operation = operation
        self.errno = errno
        self.reason = reason ?? errno.description
    }

    /// One line: `OBJECT: OPERATION: REASON`.
    package var description: String { "\(object): \(operation): \(reason)" }
}
