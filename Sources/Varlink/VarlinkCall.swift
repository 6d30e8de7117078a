public import FoundationEssentials
import Synchronization
public import SystemPackage
import UnixSockets

/// What a handler does with a call: reply now, keep the call and reply later from any thread, or throw.
///
/// It runs on the connection's queue and must not block there.
public typealias VarlinkHandler = @Sendable (VarlinkCall) throws(VarlinkError) -> Void

/// One call that waits for its reply.
///
/// A call is answered by exactly one final reply, `reply(_:)` or `fail(_:)`, from any thread; with `more`, replies that continue may come
/// before it. The next call of the same connection is dispatched after the final reply. A call that is let go without one is answered with
/// `INTERFACE.InternalError`, and the service's owner hears of it as a ``VarlinkEvent/handlerFault(method:reason:)``.
public final class VarlinkCall: Sendable {
    private struct State {
        var isFinished = false
        var isCancelled = false
        var onCancel: [@Sendable () -> Void] = []
        var descriptors: [CInt?]
    }

    /// The qualified method.
    public let method: String
    /// The parameters, a JSON object.
    public let parameters: Data
    /// Whether the peer accepts several replies.
    public let more: Bool
    /// Whether the peer wants no reply; replies are then swallowed.
    public let oneway: Bool
    private let owner: ServerConnection
    private let state: Mutex<State>

    init(_ envelope: CallEnvelope, descriptors: [CInt], owner: ServerConnection) {
        method = envelope.method
        parameters = envelope.parameters
        more = envelope.more
        oneway = envelope.oneway
        self.owner = owner
        state = Mutex(State(descriptors: descriptors))
    }

    deinit {
        guard finish() else { return }
        // The connection of a cancelled call is closed: letting go of the call is a fine way to end it.
        if !isCancelled { abandon(reason: "let go without a reply") }
    }

    /// The connection the call came on.
    public var connection: VarlinkSession { owner.session }

    /// Who calls.
    public var peer: PeerCredentials { owner.session.peer }

    /// The parameters as a type.
    ///
    /// - Throws: `org.varlink.service.InvalidParameter`, naming the parameter that is missing or wrong.
    public func decode<T: Decodable>(_ type: T.Type = T.self) throws(VarlinkError) -> T {
        do {
            return try JSONDecoder().decode(type, from: parameters)
        } catch let error as DecodingError {
            throw .invalidParameter(ParameterFault.name(error, decoding: type, from: parameters))
        } catch let error as VarlinkError {
            throw error
        } catch {
            throw .invalidParameter("parameters")
        }
    }

    /// Refuses a call without `more`, for methods that only make sense as a stream.
    ///
    /// - Throws: `org.varlink.service.ExpectedMore`.
    public func expectMore() throws(VarlinkError) {
        guard more else { throw .expectedMore }
    }
}

// MARK: - Replies

extension VarlinkCall {
    /// Replies. With `continues` more replies follow, which only a call with `more` accepts; without, this is the final one.
    ///
    /// Parameters that cannot be encoded as a JSON object are the handler's fault: the call then fails with an internal error.
    public func reply(_ parameters: some Encodable, continues: Bool = false) {
        // Encoding is most of a reply's cost: not for a peer that will not read it.
        if continues, isCancelled || oneway { return }
        do throws(EnvelopeError) {
            reply(json: try Envelope.encodeObject(parameters), continues: continues)
        } catch {
            if finish() { abandon(reason: "reply \(error)") }
        }
    }

    /// Replies finally, without parameters.
    public func reply() {
        reply(json: Envelope.emptyObject)
    }

    /// Replies with parameters that are a JSON object already.
    public func reply(json parameters: Data, continues: Bool = false) {
        if continues {
            guard more else { return owner.fault(method: method, reason: "continued a call without more") }
            guard !state.withLock({ $0.isFinished }) else { return reportSecondReply() }
            send(ReplyEnvelope(parameters: parameters, continues: true), isFinal: false)
        } else {
            guard finish() else { return reportSecondReply() }
            send(ReplyEnvelope(parameters: parameters), isFinal: true)
        }
    }

    /// Replies finally with an error.
    public func fail(_ error: VarlinkError) {
        guard finish() else { return reportSecondReply() }
        send(ReplyEnvelope(error: error.name, parameters: error.parameters), isFinal: true)
    }

    /// Whether the peer has taken everything sent so far. Progress should be skipped while it has not.
    public var canSend: Bool { owner.hasNoOutput && !isCancelled }

    private func send(_ envelope: ReplyEnvelope, isFinal: Bool) {
        owner.enqueue(oneway ? [] : envelope.encoded(), isFinal: isFinal)
    }

    private func abandon(reason: String) {
        owner.fault(method: method, reason: reason)
        let error = VarlinkError.internalError(method: method, reason: reason)
        send(ReplyEnvelope(error: error.name, parameters: error.parameters), isFinal: true)
    }

    private func reportSecondReply() {
        owner.fault(method: method, reason: "replied after the final reply")
    }

    /// Ends the call once, closing the descriptors nobody took.
    private func finish() -> Bool {
        let (isFirst, descriptors) = state.withLock { state in
            defer {
                state.isFinished = true
                state.onCancel = []
                state.descriptors = []
            }
            return (!state.isFinished, state.descriptors)
        }
        for case let descriptor? in descriptors { SocketCalls.close(descriptor) }
        return isFirst
    }
}

// MARK: - Cancellation and descriptors

extension VarlinkCall {
    /// Whether the peer has gone, so that nobody waits for a reply. The handler may reply or just let go of the call.
    public var isCancelled: Bool { state.withLock { $0.isCancelled } }

    /// Runs `action` once if the peer goes before the final reply, on the connection's queue; at once when it has gone already.
    public func onCancel(_ action: @escaping @Sendable () -> Void) {
        let isCancelled = state.withLock { state in
            if !state.isCancelled, !state.isFinished { state.onCancel.append(action) }
            return state.isCancelled && !state.isFinished
        }
        if isCancelled { action() }
    }

    func cancel() {
        let actions = state.withLock { state in
            state.isCancelled = true
            defer { state.onCancel = [] }
            return state.onCancel
        }
        for action in actions { action() }
    }

    /// How many descriptors came with the call, those taken included; 0 after the final reply.
    public var descriptorCount: Int { state.withLock { $0.descriptors.count } }

    /// Takes over a descriptor that came with the call; those not taken are closed with the final reply.
    ///
    /// - Returns: nil when there is none at `index` or it has been taken.
    public func takeDescriptor(at index: Int) -> FileDescriptor? {
        state.withLock { state in
            guard state.descriptors.indices.contains(index), let descriptor = state.descriptors[index] else {
                return nil
            }
            state.descriptors[index] = nil
            return FileDescriptor(rawValue: descriptor)
        }
    }

    /// Takes over the descriptor that `parameter` refers to by its index.
    ///
    /// - Throws: `org.varlink.service.InvalidParameter`, naming `parameter`, when there is none or it has been taken.
    public func takeDescriptor(at index: Int, parameter: String) throws(VarlinkError) -> FileDescriptor {
        guard let descriptor = takeDescriptor(at: index) else { throw .invalidParameter(parameter) }
        return descriptor
    }
}
