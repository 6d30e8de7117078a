import Dispatch
import Synchronization
import SystemPackage
import UnixSockets

// One peer's socket on the service's side. Everything that changes is confined to the connection's serial queue: sources fire there,
// handlers run there, and replies from other threads are posted there. The exceptions are `queuedBytes`, which answers `canSend` from any
// thread, and the session, which has its own lock.
//
//     open ──(garbage, too long)──► ending: no more input, closes when its output is gone or the time for it is over
//     open ──(peer half-closes)───► inputEnded: whole messages received are still served, then closes
//     any  ──(peer gone, a limit, shutdown)──► closed: sources cancelled; the descriptor is closed by the last cancel handler
//
// Reading stops while a call is being served and a message's worth of input or of descriptors waits already; it goes on after the final reply.
// Until then the peer's departure shows only when something is sent to it.
//
// A read source is taken as edge-triggered: libdispatch fires it once for a hang-up, with data waiting or not, and never again. So every
// event is read to its end, and whoever stops earlier sees to it that reading goes on without another event.

/// A connection accepted by a service.
///
/// `@unchecked Sendable`: every mutable stored property is used on `queue` only.
final class ServerConnection: @unchecked Sendable {
    private static let readSize = 16 * 1024
    private static let readsPerTurn = 8

    let session: VarlinkSession
    let queue: DispatchQueue
    let service: VarlinkService
    let descriptor: CInt

    private var input = FrameBuffer()
    private var readSource: (any DispatchSourceRead)?
    private var isReadingPaused = false
    private var inputEnded = false
    private var isTimerPending = false
    private var unfinished: (frame: UInt64, since: DispatchTime)?

    private var isBusy = false
    private weak var current: VarlinkCall?

    private var output = OutputQueue()
    private var writeSource: (any DispatchSourceWrite)?
    private let queuedBytes = Atomic<Int>(0)

    private var isEnding = false
    private var isClosed = false
    private var activeSources = 0

    init(descriptor: CInt, session: VarlinkSession, service: VarlinkService) {
        self.descriptor = descriptor
        self.session = session
        self.service = service
        queue = DispatchQueue(label: "varlink.connection.\(session.id)")
    }

    /// Begins to read.
    func start() {
        queue.async { [self] in
            guard !isClosed else { return }
            let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
            source.setEventHandler { [self] in readable() }
            adopt(source)
            readSource = source
            source.activate()
        }
    }

    /// Closes from outside.
    func shutdown() {
        queue.async { [self] in close() }
    }

    func fault(method: String, reason: String) {
        service.onEvent(.handlerFault(method: method, reason: reason))
    }

    // MARK: Input

    private func readable() {
        withUnsafeTemporaryAllocation(byteCount: Self.readSize, alignment: 16) { buffer in
            for _ in 0..<Self.readsPerTurn {
                guard !isClosed, !isEnding, !inputEnded, !isReadingPaused, receive(into: buffer) else { return }
            }
            // The thread is left to other connections for a while.
            queue.async { [self] in readable() }
        }
    }

    /// Receives one piece and serves what it completes.
    ///
    /// - Returns: whether more may be there.
    private func receive(into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        let piece: (received: SocketCalls.Received, descriptors: [CInt], truncated: Bool)
        do throws(Errno) {
            piece = try SocketCalls.receive(descriptor, into: buffer)
        } catch {
            close()
            return false
        }
        switch piece.received {
        case .wouldBlock: return false
        case .ended:
            peerEnded()
            return false
        case .bytes(let count):
            input.append(UnsafeRawBufferPointer(rebasing: buffer.prefix(count)), descriptors: piece.descriptors)
            if piece.truncated || input.descriptorsOfNewestFrame > service.limits.descriptorsPerMessage {
                drop("more than \(service.limits.descriptorsPerMessage) descriptors on a message")
                return false
            }
            serveNext()
            return true
        }
    }

    /// Dispatches waiting calls until one has to be waited for, then settles how to go on reading.
    private func serveNext() {
        while !isBusy, !isClosed, !isEnding, let frame = input.next() { serve(frame) }
        guard !isClosed, !isEnding else { return }
        if !isBusy, input.count > service.limits.messageBytes { return refuseLongMessage() }
        // A message of one byte may bring descriptors as well: they are what runs out first.
        let isTooMuch =
            input.count > service.limits.messageBytes || input.descriptorCount > service.limits.descriptorsPerMessage
        pauseReading(isBusy && isTooMuch)
        watchUnfinishedMessage()
        closeIfDone()
    }

    private func serve(_ frame: Frame) {
        guard frame.bytes.count <= service.limits.messageBytes else {
            frame.descriptors.forEach(SocketCalls.close)
            return refuseLongMessage()
        }
        let envelope: CallEnvelope
        do throws(EnvelopeError) {
            envelope = try CallEnvelope(frame.bytes, depthLimit: service.limits.nestingDepth)
        } catch {
            frame.descriptors.forEach(SocketCalls.close)
            return refuse(.invalidParameter("message"), reason: "message \(error)")
        }
        isBusy = true
        let call = VarlinkCall(envelope, descriptors: frame.descriptors, owner: self)
        current = call
        guard !envelope.upgrade else { return call.fail(.invalidParameter("upgrade")) }
        service.dispatch(call)
    }

    private func refuseLongMessage() {
        refuse(.invalidParameter("message"), reason: "message longer than \(service.limits.messageBytes) bytes")
    }

    /// Tells the peer what was wrong with its message, where it listens, and ends the connection.
    private func refuse(_ error: VarlinkError, reason: String) {
        isEnding = true
        service.onEvent(.dropped(session: session.id, peer: session.peer, reason: reason))
        // Unread input would make the peer's side fail before it has read the reply, and would wake this one again and again.
        pauseReading(true)
        deliver(ReplyEnvelope(error: error.name, parameters: error.parameters).encoded(), alreadyCounted: false)
        guard !isClosed else { return }
        closeIfDone()
        guard !isClosed else { return }
        queue.asyncAfter(deadline: .now() + service.limits.messageDuration.dispatchInterval) { [weak self] in
            self?.close()
        }
    }

    private func pauseReading(_ pause: Bool) {
        guard pause != isReadingPaused, let readSource else { return }
        isReadingPaused = pause
        if pause { return readSource.suspend() }
        readSource.resume()
        queue.async { [self] in readable() }
    }

    /// Has an unfinished message looked at again when its time is over. One timer per connection is pending at most.
    private func watchUnfinishedMessage() {
        // Time in which reading is paused is this side's doing.
        guard input.hasUnfinishedFrame, !isReadingPaused, !inputEnded else {
            unfinished = nil
            return
        }
        var current = unfinished ?? (input.framesEnded, .now())
        if current.frame != input.framesEnded { current = (input.framesEnded, .now()) }
        unfinished = current
        guard !isTimerPending else { return }
        isTimerPending = true
        let deadline = current.since + service.limits.messageDuration.dispatchInterval
        queue.asyncAfter(deadline: deadline) { [weak self] in self?.checkUnfinishedMessage() }
    }

    private func checkUnfinishedMessage() {
        isTimerPending = false
        guard !isClosed, !isEnding, let unfinished else { return }
        if unfinished.since + service.limits.messageDuration.dispatchInterval <= .now() {
            drop("message unfinished for \(service.limits.messageDuration)")
        } else {
            watchUnfinishedMessage()
        }
    }

    // MARK: Output

    /// Whether everything replied so far has been given to the kernel. Any thread.
    var hasNoOutput: Bool { queuedBytes.load(ordering: .acquiring) == 0 && !session.isClosed }

    /// Posts a reply. Any thread.
    func enqueue(_ bytes: [UInt8], isFinal: Bool) {
        let bytes = session.isClosed ? [] : bytes
        queuedBytes.add(bytes.count, ordering: .acquiringAndReleasing)
        queue.async { [self] in
            deliver(bytes, alreadyCounted: true)
            guard isFinal else { return }
            isBusy = false
            if !isClosed { serveNext() }
        }
    }

    private func deliver(_ bytes: [UInt8], alreadyCounted: Bool) {
        guard !isClosed else { return }
        if !alreadyCounted { queuedBytes.add(bytes.count, ordering: .acquiringAndReleasing) }
        output.append(bytes)
        if writeSource == nil { flush() }
        if !isClosed, output.byteCount > service.limits.queuedOutputBytes, output.messageCount > 1 {
            drop("\(output.byteCount) bytes of replies not read")
        }
    }

    /// Sends what the socket takes, and waits for it to take more.
    private func flush() {
        while !output.isEmpty {
            do throws(Errno) {
                guard let count = try SocketCalls.send(descriptor, output.front) else { return awaitWritable() }
                output.sent(count)
                queuedBytes.subtract(count, ordering: .acquiringAndReleasing)
            } catch {
                // The peer has gone; there is nobody to tell.
                return close()
            }
        }
        if let source = writeSource {
            writeSource = nil
            source.cancel()
        }
        closeIfDone()
    }

    private func awaitWritable() {
        guard writeSource == nil else { return }
        let source = DispatchSource.makeWriteSource(fileDescriptor: descriptor, queue: queue)
        source.setEventHandler { [self] in if !isClosed { flush() } }
        adopt(source)
        writeSource = source
        source.activate()
    }

    // MARK: End

    /// The peer sends no more. When it has gone altogether nobody waits for replies, but its calls that want none are still served.
    private func peerEnded() {
        guard SocketCalls.isHungUp(descriptor) else {
            inputEnded = true
            readSource?.cancel()
            readSource = nil
            return closeIfDone()
        }
        while let frame = input.next() {
            let envelope = try? CallEnvelope(frame.bytes, depthLimit: service.limits.nestingDepth)
            if let envelope, envelope.oneway, !envelope.upgrade {
                service.dispatch(VarlinkCall(envelope, descriptors: frame.descriptors, owner: self))
            } else {
                // Wrong or waiting for a reply: either way there is nobody to answer.
                frame.descriptors.forEach(SocketCalls.close)
            }
        }
        close()
    }

    private func closeIfDone() {
        guard output.isEmpty, isEnding || (inputEnded && !isBusy && !input.hasFrame) else { return }
        close()
    }

    private func drop(_ reason: String) {
        guard !isClosed else { return }
        service.onEvent(.dropped(session: session.id, peer: session.peer, reason: reason))
        close()
    }

    private func close() {
        guard !isClosed else { return }
        isClosed = true
        input.removeAll().forEach(SocketCalls.close)
        output = OutputQueue()
        unfinished = nil
        activeSources += 1
        readSource?.cancel()
        if isReadingPaused { readSource?.resume() }
        readSource = nil
        writeSource?.cancel()
        writeSource = nil
        current?.cancel()
        session.close()
        release()
    }

    /// Counts a source in, and out again when it is cancelled: until then it may still look at the descriptor.
    private func adopt(_ source: some DispatchSourceProtocol) {
        activeSources += 1
        source.setCancelHandler { [self] in release() }
    }

    private func release() {
        activeSources -= 1
        guard isClosed, activeSources == 0 else { return }
        SocketCalls.close(descriptor)
        service.released(self)
    }
}
