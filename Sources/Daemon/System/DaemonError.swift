/// Why the daemon did not start, or did not stop as it should: the object, what failed, why.
public struct DaemonError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The object that it concerns.
    public var object: String
    /// What was being done.
    public var operation: String
    /// Why it failed.
    public var reason: String

    init(_ object: String, _ operation: String, _ reason: String) {
        self.object = object
        self.operation = operation
        self.reason = reason
    }

    /// One line.
    public var description: String { "\(object): \(operation): \(reason)" }
}
