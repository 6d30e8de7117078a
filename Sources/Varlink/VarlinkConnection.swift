public import FoundationEssentials
import Synchronization
public import SystemPackage
import UnixSockets

// The client's side, blocking. One call at a time is on the wire: `channel` is locked for its whole duration, deliberately across I/O,
// because that is what the lock protects: the order of bytes on the socket. `shutdown()` does not take it.

/// A client's connection to a service.
public final class VarlinkConnection: Sendable {
    private struct Channel {
        var input = FrameBuffer()
        /// Why no more calls can be made, once that is so.
        var failure: VarlinkConnectionError?
    }

    private static let readSize = 64 * 1024
    /// A service is trusted with more depth than its clients are.
    private static let depthLimit = 256
    private static let descriptorLimit = 16

    /// Where the service is.
    public let path: FilePath
    private let descriptor: CInt
    private let replyLimit: Int
    private let channel = Mutex(Channel())
    private let isShutDown = Atomic<Bool>(false)

    /// Connects to the service that listens at `path`.
    ///
    /// - Parameters:
    ///   - path: the service's socket.
    ///   - replyLimit: the longest reply accepted, in bytes.
    /// - Throws: `.system`, with the path and the reason.
    public init(path: FilePath, replyLimit: Int = 64 * 1024 * 1024) throws(VarlinkConnectionError) {
        self.path = path
        self.replyLimit = replyLimit
        do throws(Errno) {
            let socket = try SocketCalls.makeSocket(nonblocking: false)
            do throws(Errno) {
                try SocketCalls.connect(socket, to: path)
            } catch {
                SocketCalls.close(socket)
                throw error
            }
            descriptor = socket
        } catch {
            throw VarlinkConnectionError(.system, object: path.string, operation: "connect", errno: error)
        }
    }

    deinit {
        SocketCalls.close(descriptor)
    }

    /// Ends the connection: calls fail from now on, and so does the one that waits, with `.shutDown`. Any thread.
    public func shutdown() {
        isShutDown.store(true, ordering: .releasing)
        SocketCalls.shutdown(descriptor)
    }

    // MARK: Calls

    /// Calls a method and waits for its reply.
    ///
    /// - Parameters:
    ///   - method: the qualified method.
    ///   - parameters: what it takes; must encode as an object.
    ///   - descriptors: at most 16, passed with the call; they stay the caller's.
    /// - Returns: the reply's parameters.
    /// - Throws: the service's error, or why there is no reply.
    public func call<Reply: Decodable>(
        _ method: String, _ parameters: some Encodable, descriptors: [FileDescriptor] = [],
        returning type: Reply.Type = Reply.self
    ) throws(VarlinkCallError) -> Reply {
        let reply = try callRaw(method, json: try encode(parameters, for: method), descriptors: descriptors)
        return try decode(reply, of: method)
    }

    /// Calls a method and hands on each of its replies, with whether more follow.
    ///
    /// - Parameter onReply: returns whether to go on; false ends the connection, because replies are still on their way. It must
    ///   not call on this connection, which is in use until the last reply.
    /// - Throws: the service's error, or why there is no reply. Replies before it have been handed on.
    public func callMore<Reply: Decodable>(
        _ method: String, _ parameters: some Encodable, descriptors: [FileDescriptor] = [],
        onReply: (_ reply: Reply, _ continues: Bool) -> Bool
    ) throws(VarlinkCallError) {
        var failure: VarlinkCallError?
        try callMoreRaw(method, json: try encode(parameters, for: method), descriptors: descriptors) {
            data, continues in
            do throws(VarlinkCallError) {
                return onReply(try decode(data, of: method), continues)
            } catch {
                failure = error
                return false
            }
        }
        if let failure { throw failure }
    }

    /// Sends a call that is not replied to.
    public func callOneway(
        _ method: String, _ parameters: some Encodable, descriptors: [FileDescriptor] = []
    ) throws(VarlinkCallError) {
        let call = CallEnvelope(method: method, parameters: try encode(parameters, for: method), oneway: true)
        try locked(method) { channel throws(VarlinkConnectionError) in
            try self.send(call, descriptors, on: &channel)
        }
    }

    /// As `call`, with JSON objects in and out.
    public func callRaw(
        _ method: String, json parameters: Data, descriptors: [FileDescriptor] = []
    ) throws(VarlinkCallError) -> Data {
        let call = CallEnvelope(method: method, parameters: try checked(parameters, for: method))
        let reply = try locked(method) { channel throws(VarlinkConnectionError) in
            try self.send(call, descriptors, on: &channel)
            let reply = try self.receive(call, on: &channel)
            if reply.continues { throw self.violation(call.method, "more replies than asked for") }
            return reply
        }
        return try parametersOrError(reply)
    }

    /// As `callMore`, with JSON objects in and out.
    public func callMoreRaw(
        _ method: String, json parameters: Data, descriptors: [FileDescriptor] = [],
        onReply: (_ reply: Data, _ continues: Bool) -> Bool
    ) throws(VarlinkCallError) {
        let call = CallEnvelope(method: method, parameters: try checked(parameters, for: method), more: true)
        let failure: VarlinkError? = try locked(method) { channel throws(VarlinkConnectionError) in
            try self.send(call, descriptors, on: &channel)
            while true {
                let reply = try self.receive(call, on: &channel)
                if let error = reply.error { return VarlinkError(error, json: reply.parameters) }
                let goesOn = onReply(reply.parameters, reply.continues)
                if !reply.continues { return nil }
                if !goesOn {
                    self.shutdown()
                    return nil
                }
            }
        }
        if let failure { throw .reply(failure) }
    }
}

// MARK: - The wire

extension VarlinkConnection {
    /// Runs one exchange. One that fails leaves the stream at an unknown place: nothing can be called after it.
    private func locked<R: Sendable>(
        _ method: String, _ body: (inout sending Channel) throws(VarlinkConnectionError) -> R
    ) throws(VarlinkCallError) -> R {
        do throws(VarlinkConnectionError) {
            return try channel.withLock { channel throws(VarlinkConnectionError) in
                if let failure = channel.failure { throw failure }
                do throws(VarlinkConnectionError) {
                    return try body(&channel)
                } catch {
                    channel.failure = error
                    throw error
                }
            }
        } catch {
            throw .connection(error)
        }
    }

    private func send(
        _ call: CallEnvelope, _ descriptors: [FileDescriptor], on channel: inout Channel
    ) throws(VarlinkConnectionError) {
        guard descriptors.count <= Self.descriptorLimit else {
            throw violation(call.method, "more than \(Self.descriptorLimit) descriptors")
        }
        var rest = call.encoded()[...]
        var riding = descriptors.map(\.rawValue)
        do throws(Errno) {
            while !rest.isEmpty {
                guard let count = try SocketCalls.send(descriptor, rest, descriptors: riding) else { continue }
                rest = rest.dropFirst(count)
                riding = []
            }
        } catch {
            // The service may have said why before it closed: that reply is read next. Without one, reading finds the end.
            if !call.oneway, error == .brokenPipe || error == .connectionReset { return }
            throw failure(call.method, error)
        }
    }

    private func receive(
        _ call: CallEnvelope, on channel: inout Channel
    ) throws(VarlinkConnectionError) -> ReplyEnvelope {
        var frame = channel.input.next()
        while frame == nil {
            guard channel.input.count <= replyLimit else {
                throw violation(call.method, "a reply longer than \(replyLimit) bytes")
            }
            try receivePiece(call.method, into: &channel.input)
            frame = channel.input.next()
        }
        do throws(EnvelopeError) {
            return try ReplyEnvelope(frame?.bytes ?? [], depthLimit: Self.depthLimit)
        } catch {
            throw violation(call.method, "reply \(error)")
        }
    }

    private func receivePiece(_ method: String, into input: inout FrameBuffer) throws(VarlinkConnectionError) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.readSize, alignment: 16)
        defer { buffer.deallocate() }
        do throws(Errno) {
            let piece = try SocketCalls.receive(descriptor, into: buffer)
            // Replies carry no descriptors that anybody asked for.
            piece.descriptors.forEach(SocketCalls.close)
            switch piece.received {
            case .bytes(let count):
                input.append(UnsafeRawBufferPointer(rebasing: buffer.prefix(count)), descriptors: [])
            case .wouldBlock: return
            case .ended: throw Errno.connectionReset
            }
        } catch {
            throw failure(method, error)
        }
    }

    private func failure(_ method: String, _ error: Errno) -> VarlinkConnectionError {
        if isShutDown.load(ordering: .acquiring) {
            return VarlinkConnectionError(
                .shutDown, object: path.string, operation: method, reason: "shut down by the caller")
        }
        if error == .connectionReset || error == .brokenPipe {
            return VarlinkConnectionError(
                .closed, object: path.string, operation: method, reason: "the service closed the connection")
        }
        return VarlinkConnectionError(.system, object: path.string, operation: method, errno: error)
    }

    private func violation(_ method: String, _ reason: String) -> VarlinkConnectionError {
        VarlinkConnectionError(.protocolViolation, object: path.string, operation: method, reason: reason)
    }

    // MARK: Parameters

    private func encode(_ parameters: some Encodable, for method: String) throws(VarlinkCallError) -> Data {
        do throws(EnvelopeError) {
            return try Envelope.encodeObject(parameters)
        } catch {
            throw .connection(violation(method, "parameters \(error)"))
        }
    }

    private func checked(_ parameters: Data, for method: String) throws(VarlinkCallError) -> Data {
        do throws(EnvelopeError) {
            try Envelope.check(object: parameters, depthLimit: Self.depthLimit)
            return parameters
        } catch {
            throw .connection(violation(method, "parameters \(error)"))
        }
    }

    private func parametersOrError(_ reply: ReplyEnvelope) throws(VarlinkCallError) -> Data {
        if let error = reply.error { throw .reply(VarlinkError(error, json: reply.parameters)) }
        return reply.parameters
    }

    private func decode<Reply: Decodable>(_ data: Data, of method: String) throws(VarlinkCallError) -> Reply {
        do {
            return try JSONDecoder().decode(Reply.self, from: data)
        } catch {
            throw .connection(violation(method, "reply does not fit: \(error)"))
        }
    }
}
