/// What a client is granted.
public struct NBDLimits: Sendable {
    /// Connections at a time; one more is closed at once.
    public var connections = 64
    /// Time for the negotiation in nanoseconds.
    public var negotiation: UInt64 = 10_000_000_000
    /// Options in one negotiation.
    public var options = 32
    /// Bytes of data that an option may have. More is read and refused, as far as `drainedBytes`.
    public var optionBytes = 64 << 10
    /// Bytes that are read only to be dropped; a client that announces more is dropped.
    public var drainedBytes = 1 << 20
    /// Requests of one connection that are under way or whose replies were not fetched.
    public var requests = 256
    /// Bytes of memory that these take up. A request that comes alone may take more.
    public var requestBytes = 32 << 20
    /// Time that `close` leaves clients to fetch their replies, in nanoseconds.
    public var farewell: UInt64 = 5_000_000_000

    /// The usual ones.
    public init() {}
}
