/// Who is at the other end of a connection, as the kernel recorded it when the peer connected (SO_PEERCRED).
public struct PeerCredentials: Sendable, Equatable, CustomStringConvertible {
    /// The peer's process, or 0 when it lives in a process namespace that cannot be seen from here.
    public let processID: Int32
    /// The peer's effective user.
    public let userID: UInt32
    /// The peer's effective group.
    public let groupID: UInt32

    /// Makes credentials, for tests of code that judges them.
    public init(processID: Int32, userID: UInt32, groupID: UInt32) {
        self.processID = processID
        self.userID = userID
        self.groupID = groupID
    }

    public var description: String { "pid \(processID) uid \(userID) gid \(groupID)" }
}
