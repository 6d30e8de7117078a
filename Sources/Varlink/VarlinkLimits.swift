/// What one service grants its peers. A peer that goes beyond a limit is refused or dropped; the others do not notice.
public struct VarlinkLimits: Sendable {
    /// The longest message accepted, without its terminating NUL. Default 256 KiB.
    public var messageBytes = 256 * 1024
    /// The deepest nesting of arrays and objects in a message. Default 64.
    public var nestingDepth = 64
    /// The most descriptors that may ride on one message, at most 16, which is the default.
    public var descriptorsPerMessage = 16
    /// The time within which a message that has begun must end. Default 30 s.
    public var messageDuration: Duration = .seconds(30)
    /// The most output that may wait for a peer that does not read. Default 1 MiB.
    ///
    /// One reply that finds nothing waiting before it is accepted whatever its size.
    public var queuedOutputBytes = 1024 * 1024
    /// The most connections of one peer process. Default 1100.
    ///
    /// Peers of foreign process namespaces have all the process identifier 0 and share one allowance.
    public var connectionsPerProcess = 1100
    /// The most connections of one user other than the superuser. Default 1100.
    public var connectionsPerUser = 1100
    /// The most connections in all. Default 8192.
    public var connections = 8192
    /// How many of those only the superuser may have. Default 512.
    public var reservedConnections = 512

    /// The defaults.
    public init() {}
}
