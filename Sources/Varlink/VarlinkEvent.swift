public import SystemPackage

/// Something a service's owner may want in its log. The module itself writes no log.
public enum VarlinkEvent: Sendable, CustomStringConvertible {
    /// A peer was turned away before its first call.
    case refused(peer: PeerCredentials, reason: String)
    /// A connection was closed for something its peer did or left undone.
    case dropped(session: UInt64, peer: PeerCredentials, reason: String)
    /// accept(2) failed; the listener goes on, after a pause where the failure would repeat at once.
    case acceptFailed(Errno)
    /// A handler broke its contract: no final reply, two of them, or one that is not a JSON object.
    case handlerFault(method: String, reason: String)
    /// Something could not be removed at shutdown.
    case cleanupFailed(path: FilePath, Errno)

    public var description: String {
        switch self {
        case .refused(let peer, let reason): "connection of \(peer) refused: \(reason)"
        case .dropped(let session, let peer, let reason): "connection \(session) of \(peer) dropped: \(reason)"
        case .acceptFailed(let errno): "accepting a connection failed: \(errno)"
        case .handlerFault(let method, let reason): "handler of \(method): \(reason)"
        case .cleanupFailed(let path, let errno): "\(path): remove failed: \(errno)"
        }
    }
}
