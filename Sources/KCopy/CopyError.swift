import BlockIO
public import SystemPackage

/// A request that was refused: nothing was started.
public struct CopyError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The rule that was broken.
    public enum Code: Hashable, Sendable {
        /// A number is out of its range: pages, destinations.
        case invalidArgument
        /// The destinations' counts differ from the source's.
        case countMismatch
        /// A region is no multiple of a logical block.
        case unaligned
        /// A region ends behind its device.
        case outOfRange
        /// Two regions share sectors.
        case overlap
        /// A device does not allow what is asked of it.
        case accessDenied
        /// The client is being destroyed, or a device is closed.
        case closed
        /// Memory or a kernel resource could not be had.
        case noResources
    }

    /// The rule.
    public var code: Code
    /// The object it concerns: a path, or the client.
    public var object: String
    /// Why, with the numbers.
    public var reason: String
    /// The nearest error number.
    public var errno: Errno

    init(_ code: Code, _ object: String, _ errno: Errno, _ reason: String) {
        self.code = code
        self.object = object
        self.errno = errno
        self.reason = reason
    }

    init(_ error: BlockError) {
        self.init(
            error.errno == .badFileDescriptor ? .closed : .noResources, error.object, error.errno,
            "\(error.operation): \(error.reason)")
    }

    /// One line: `OBJECT: REASON`.
    public var description: String { "\(object): \(reason)" }
}
