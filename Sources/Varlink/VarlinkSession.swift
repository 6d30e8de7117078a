import Synchronization

/// One peer's connection as handlers see it: who it is, when it ends, and what a service keeps for it in between.
///
/// It outlives the socket; holding it keeps nothing open.
public final class VarlinkSession: Sendable {
    private struct State {
        var isClosed = false
        var onClose: [@Sendable () -> Void] = []
        var attached: [ObjectIdentifier: any Sendable] = [:]
    }

    /// A number that no other session of this service has.
    public let id: UInt64
    /// Who is at the other end.
    public let peer: PeerCredentials
    private let state = Mutex(State())

    init(id: UInt64, peer: PeerCredentials) {
        self.id = id
        self.peer = peer
    }

    /// Whether the connection has ended.
    public var isClosed: Bool { state.withLock { $0.isClosed } }

    /// Runs `action` once, when the connection has ended, on the connection's queue; at once when it has ended already.
    public func onClose(_ action: @escaping @Sendable () -> Void) {
        let isClosed = state.withLock { state in
            if !state.isClosed { state.onClose.append(action) }
            return state.isClosed
        }
        if isClosed { action() }
    }

    /// Keeps `value` for this connection, one value per type; it is let go after the `onClose` actions.
    public func attach<T: Sendable>(_ value: T) {
        state.withLock { state in
            if !state.isClosed { state.attached[ObjectIdentifier(T.self)] = value }
        }
    }

    /// The value attached under this type.
    public func attached<T: Sendable>(_ type: T.Type = T.self) -> T? {
        state.withLock { $0.attached[ObjectIdentifier(type)] as? T }
    }

    /// The value attached under this type, made and attached when there is none yet. `make` must not use the session.
    public func attached<T: Sendable>(_ type: T.Type = T.self, orMake make: () -> T) -> T {
        let key = ObjectIdentifier(type)
        return state.withLock { state in
            if let value = state.attached[key] as? T { return value }
            let value = make()
            if !state.isClosed { state.attached[key] = value }
            return value
        }
    }

    /// Marks the end and runs the actions, in the order they were given.
    func close() {
        let actions = state.withLock { state in
            state.isClosed = true
            defer { state.onClose = [] }
            return state.onClose
        }
        for action in actions { action() }
        // Values are let go outside the lock: their deinitialisers may look at the session.
        let values = state.withLock { state in
            defer { state.attached = [:] }
            return state.attached
        }
        _ = consume values
    }
}
