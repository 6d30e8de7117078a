public import BlockIO
public import SystemPackage

/// Why a table, a target or a mapped device cannot be what is asked of it: the object, the operation, the reason.
public struct TargetError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The table line, word, device or mapped device that is concerned.
    public var object: String
    /// What was being done, as an infinitive.
    public var operation: String
    /// Why it cannot be, for people.
    public var reason: String
    /// The error that the kernel's device-mapper answers in the same case.
    public var errno: Errno

    /// An error with its own words.
    public init(_ object: String, _ operation: String, _ errno: Errno, _ reason: String) {
        self.object = object
        self.operation = operation
        self.errno = errno
        self.reason = reason
    }

    /// A device's error.
    public init(_ error: BlockError) {
        self.init(error.object, error.operation, error.errno, error.reason)
    }

    /// One line: `OBJECT: OPERATION: REASON`.
    public var description: String { "\(object): \(operation): \(reason)" }
}
