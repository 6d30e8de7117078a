import Dispatch
import Synchronization
public import SystemPackage
import UnixSockets

/// What a service says of itself in `org.varlink.service.GetInfo`.
public struct VarlinkServiceInfo: Sendable {
    public var vendor: String
    public var product: String
    public var version: String
    public var url: String

    /// Makes a service's self-description.
    public init(vendor: String, product: String, version: String, url: String) {
        self.vendor = vendor
        self.product = product
        self.version = version
        self.url = url
    }
}

/// A Varlink service on Unix sockets.
///
/// Listeners and connections each have a serial queue; there is no thread per connection. A service that listens stays alive until
/// `shutdown()`.
public final class VarlinkService: Sendable {
    private struct Method {
        var handlers: [String: VarlinkHandler]
        var declared: Set<String>
    }

    private struct State {
        var isShutDown = false
        var nextSession: UInt64 = 1
        var listeners: [Listener] = []
        var connections: [UInt64: ServerConnection] = [:]
        var connectionsOfProcess: [Int32: Int] = [:]
        var connectionsOfUser: [UInt32: Int] = [:]
    }

    /// What peers are granted.
    public let limits: VarlinkLimits
    let onEvent: @Sendable (VarlinkEvent) -> Void
    private let interfaces: [String: Method]
    private let state = Mutex(State())
    /// Entered by every listener and connection, left when its descriptor is closed.
    private let open = DispatchGroup()

    /// Makes a service that does not listen yet.
    ///
    /// - Parameters:
    ///   - info: what the service says of itself.
    ///   - interfaces: what it offers besides `org.varlink.service`; of two with one name the later counts.
    ///   - limits: what peers are granted.
    ///   - onEvent: called, from any queue, with what a log should have. It must not block.
    public init(
        info: VarlinkServiceInfo, interfaces: [VarlinkInterface], limits: VarlinkLimits = VarlinkLimits(),
        onEvent: @escaping @Sendable (VarlinkEvent) -> Void = { _ in }
    ) {
        var limits = limits
        limits.descriptorsPerMessage = min(max(limits.descriptorsPerMessage, 0), 16)
        self.limits = limits
        self.onEvent = onEvent
        var table: [String: Method] = [:]
        for interface in interfaces {
            table[interface.name] = Method(
                handlers: interface.methods, declared: Set(interface.description.methods.map(\.name)))
        }
        let own = ServiceInterface.handlers(info: info, interfaces: interfaces)
        table[ServiceInterface.name] = Method(handlers: own, declared: Set(own.keys))
        self.interfaces = table
    }

    /// Connections open now.
    public var connectionCount: Int { state.withLock { $0.connections.count } }

    /// Makes a socket at `path` and listens on it.
    ///
    /// A socket left behind by a service that has died is replaced. `PATH.lock` is held locked until `shutdown()`, so that of two
    /// services started at once one is refused.
    ///
    /// - Parameters:
    ///   - path: where the socket goes; its folder must exist.
    ///   - mode: the socket's permissions, in force before the first peer can connect.
    ///   - group: the socket's group, where it is not to be the process's own.
    /// - Throws: `.addressInUse` when a live service is there; `.system` for the rest. Nothing is left behind.
    public func listen(
        path: FilePath, mode: FilePermissions, group: UInt32? = nil
    ) throws(VarlinkConnectionError) {
        let file: SocketFile
        do throws(SocketFileError) {
            file = try SocketFile(path: path, mode: mode, group: group)
        } catch {
            throw VarlinkConnectionError(error)
        }
        try listen(on: Listener(descriptor: file.descriptor, file: file, service: self))
    }

    /// Listens on a socket that is bound and listening already, which is taken over and made nonblocking.
    ///
    /// - Throws: `.system` when it is no such descriptor; it is then still the caller's.
    public func listen(descriptor: FileDescriptor) throws(VarlinkConnectionError) {
        do throws(Errno) {
            try SocketCalls.setNonblocking(descriptor.rawValue)
        } catch {
            throw VarlinkConnectionError(
                .system, object: "descriptor \(descriptor.rawValue)", operation: "listen", errno: error)
        }
        try listen(on: Listener(descriptor: descriptor.rawValue, file: nil, service: self))
    }

    /// Stops accepting, closes every connection, and removes the sockets that `listen(path:mode:group:)` made.
    ///
    /// - Parameter completion: runs when the last descriptor is closed. Replies not yet written are lost.
    public func shutdown(completion: (@Sendable () -> Void)? = nil) {
        let (listeners, connections) = state.withLock { state in
            state.isShutDown = true
            defer { state.listeners = [] }
            return (state.listeners, Array(state.connections.values))
        }
        for listener in listeners { listener.close() }
        for connection in connections { connection.shutdown() }
        if let completion { open.notify(queue: .global(), execute: completion) }
    }

    private func listen(on listener: Listener) throws(VarlinkConnectionError) {
        let isRunning = state.withLock { state in
            if !state.isShutDown {
                open.enter()
                state.listeners.append(listener)
            }
            return !state.isShutDown
        }
        guard isRunning else {
            listener.discard()
            throw VarlinkConnectionError(.shutDown, object: "service", operation: "listen", reason: "is shut down")
        }
        listener.start()
    }
}

// MARK: - For listeners and connections

extension VarlinkService {
    /// Takes an accepted socket into service, or closes it.
    func admit(_ descriptor: CInt) {
        let peer: PeerCredentials
        do throws(Errno) {
            peer = try SocketCalls.peer(of: descriptor)
        } catch {
            SocketCalls.close(descriptor)
            return onEvent(.acceptFailed(error))
        }
        let (connection, refusal) = state.withLock { register(descriptor, peer, &$0) }
        if let connection {
            connection.start()
        } else {
            SocketCalls.close(descriptor)
            onEvent(.refused(peer: peer, reason: refusal))
        }
    }

    private func register(
        _ descriptor: CInt, _ peer: PeerCredentials, _ state: inout State
    ) -> (ServerConnection?, refusal: String) {
        let own = state.connectionsOfProcess[peer.processID, default: 0]
        if state.isShutDown { return (nil, "shutting down") }
        if state.connections.count >= limits.connections { return (nil, "\(limits.connections) connections are open") }
        if own >= limits.connectionsPerProcess { return (nil, "the process has \(own) connections") }
        let ofUser = state.connectionsOfUser[peer.userID, default: 0]
        if peer.userID != 0 {
            if ofUser >= limits.connectionsPerUser { return (nil, "the user has \(ofUser) connections") }
            if state.connections.count >= limits.connections - limits.reservedConnections {
                return (nil, "the last \(limits.reservedConnections) connections are the superuser's")
            }
        }
        let session = VarlinkSession(id: state.nextSession, peer: peer)
        let connection = ServerConnection(descriptor: descriptor, session: session, service: self)
        state.nextSession += 1
        state.connections[session.id] = connection
        state.connectionsOfProcess[peer.processID] = own + 1
        state.connectionsOfUser[peer.userID] = ofUser + 1
        open.enter()
        return (connection, "")
    }

    /// Forgets a connection whose descriptor is closed.
    func released(_ connection: ServerConnection) {
        state.withLock { state in
            state.connections[connection.session.id] = nil
            let process = connection.session.peer.processID
            let left = state.connectionsOfProcess[process, default: 1] - 1
            state.connectionsOfProcess[process] = left > 0 ? left : nil
            let user = connection.session.peer.userID
            let ofUser = state.connectionsOfUser[user, default: 1] - 1
            state.connectionsOfUser[user] = ofUser > 0 ? ofUser : nil
        }
        open.leave()
    }

    /// Notes that a listener's descriptor is closed.
    func released(_ listener: Listener) {
        open.leave()
    }

    /// Runs the handler of a call.
    func dispatch(_ call: VarlinkCall) {
        guard let (interface, member) = Envelope.split(method: call.method) else {
            return call.fail(.invalidParameter("method"))
        }
        guard let methods = interfaces[interface] else { return call.fail(.interfaceNotFound(interface)) }
        guard let handler = methods.handlers[member] else {
            return call.fail(
                methods.declared.contains(member) ? .methodNotImplemented(call.method) : .methodNotFound(call.method))
        }
        do throws(VarlinkError) {
            try handler(call)
        } catch {
            call.fail(error)
        }
    }
}
