public import SystemPackage

/// What went wrong with a device, an image file or the I/O machinery, in the order in which it is
/// told: the object, the operation, the reason.
public struct BlockError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The path or name of the thing that failed.
    public var object: String
    /// What was being done, as an infinitive: "open", "read".
    public var operation: String
    /// Why it failed, for people, with the numbers.
    public var reason: String
    /// The nearest error number; what the C library returns negated.
    public var errno: Errno

    /// An error with its own words.
    public init(_ object: String, _ operation: String, _ errno: Errno, reason: String) {
        self.object = object
        self.operation = operation
        self.errno = errno
        self.reason = reason
    }

    /// An error told in the system's words.
    public init(_ object: String, _ operation: String, _ errno: Errno) {
        self.init(object, operation, errno, reason: errno.description)
    }

    /// One line: `OBJECT: OPERATION: REASON`.
    public var description: String { "\(object): \(operation): \(reason)" }
}
