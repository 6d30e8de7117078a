import BlockIO
import Glibc
import SystemPackage
import UnixSockets

// One client, from its first byte to its last. All of it happens on the listener's queue thread:
//
//     readable ─► receive ─► staging ─► handshake
//                                  └──► requests ─► device.handle ─► ended ─► replies ─► flush (after the batch) ─► socket
//
// One receive takes as many requests as have come; their replies go out together when everything that has ended was told.
// What a client may have under way is limited: beyond that nothing is read from it until it has fetched replies. The
// payload of a write is copied out of the staging memory as far as it has got there, and received in its place from there
// on.
//
// The connection ends when nothing more is read (the client has said goodbye, hung up, broken the protocol, or the server
// closes), every request has been given back by the device, every reply is sent, and no poll holds the descriptor. A
// client that cannot be sent to is dead: its replies are dropped.

/// A connection with a client.
final class NBDConnection {
    static let stagingBytes = 256 << 10
    static let mostVectors = 256

    let descriptor: Int32
    let device: any ServedDevice
    let thread: QueueThread
    let memory: RequestMemory
    let limits: NBDLimits
    private unowned let listener: NBDListener

    /// Set until transmission begins.
    private var handshake: NBDHandshake?
    /// What was negotiated.
    private(set) var session = NBDSession()
    /// What the handshake has to say and what is not sent of it; it goes out before the replies.
    var greeting: [UInt8] = []
    private var negotiationTimer: UInt64 = 0

    // What has come and was not looked at lies from `head` to `tail`.
    let staging = UnsafeMutableRawPointer.allocate(byteCount: NBDConnection.stagingBytes, alignment: 4096)
    var head = 0
    var tail = 0
    /// The write whose payload is on its way, and how much of it has come.
    var incoming: NBDRequest?
    var incomingBytes = 0
    /// The write whose payload is dropped, and how much of that is still to come.
    var refused: NBDRequest?
    var refusedBytes = 0

    /// Whether anything is read from the client.
    var isReading = true
    /// Whether a request waits until others have ended.
    var isStalled = false
    /// Whether new requests are refused.
    var isClosing = false
    /// Whether the client cannot be sent anything.
    var isDead = false
    private var isPollingIn = false
    private var isPollingOut = false
    private var isShutDown = false
    private var isFlushScheduled = false

    /// Requests that have begun and whose replies are not sent, the memory they take, and those that the device has.
    var inFlight = 0
    var inFlightBytes = 0
    var withDevice = 0
    /// Every request that there is: nobody else holds those that the device has.
    private var requests: [NBDRequest] = []
    private var idle = NBDRequestList()
    var replies = NBDRequestList()
    /// How much of the first reply is sent.
    var sentBytes = 0
    let vectors = UnsafeMutablePointer<iovec>.allocate(capacity: NBDConnection.mostVectors)

    private lazy var readable = DeviceIO { [unowned self] _ in self.becameReadable() }
    private lazy var writable = DeviceIO { [unowned self] _ in self.becameWritable() }
    private lazy var flushWork: () -> Void = { [unowned self] in self.flush() }

    /// Takes a connected socket over.
    init(descriptor: Int32, listener: NBDListener, export: NBDExport) {
        self.descriptor = descriptor
        self.listener = listener
        device = listener.device
        thread = listener.thread
        memory = thread.memory
        limits = listener.limits
        handshake = NBDHandshake(export: export, limits: limits)
        takeGreeting()
    }

    deinit {
        staging.deallocate()
        vectors.deallocate()
    }

    /// Greets the client.
    func start() {
        negotiationTimer = thread.after(nanoseconds: limits.negotiation) { [unowned self] in
            self.die()
        }
        scheduleFlush()
    }

    /// The client may send requests.
    private func beginTransmission(_ session: NBDSession) {
        handshake = nil
        self.session = session
        thread.cancel(timer: negotiationTimer)
        listener.transmissionBegan()
    }

    /// Answers what is under way, refuses what comes, and ends.
    func close() {
        isClosing = true
        scheduleFlush()
    }

    // MARK: Receiving

    /// Whether there is something to be read for.
    private var wantsInput: Bool { isReading && !isStalled }

    private func becameReadable() {
        isPollingIn = false
        if wantsInput { receive() }
        scheduleFlush()
    }

    /// Takes what has come, once: the socket is asked again when everybody else had a turn.
    private func receive() {
        var count: Int32 = 0
        if let incoming, let buffer = incoming.buffer {
            let rest = incoming.length - incomingBytes
            vectors[0] = iovec(iov_base: buffer.slice.address + incomingBytes, iov_len: rest)
            count = 1
        }
        if tail == Self.stagingBytes { moveToFront() }
        vectors[Int(count)] = iovec(iov_base: staging + tail, iov_len: Self.stagingBytes - tail)
        let result = readv(descriptor, vectors, count + 1)
        if result < 0 {
            if errno != EAGAIN, errno != EINTR { die() }
        } else if result == 0 {
            stopReading()
        } else {
            received(result)
        }
    }

    private func received(_ count: Int) {
        var count = count
        if let request = incoming {
            let part = min(count, request.length - incomingBytes)
            incomingBytes += part
            count -= part
            if incomingBytes == request.length {
                incoming = nil
                submit(request)
            }
        }
        tail += count
        parse()
    }

    /// Looks at what has come.
    func parse() {
        if handshake != nil { parseHandshake() }
        if handshake == nil { parseRequests() }
        if head == tail {
            head = 0
            tail = 0
        }
    }

    private func parseHandshake() {
        let bytes = UnsafeRawBufferPointer(start: staging + head, count: tail - head)
        head += handshake?.take(bytes) ?? 0
        takeGreeting()
        switch handshake?.state {
        case .transmission(let session): beginTransmission(session)
        case .ended: stopReading()
        case .clientFlags, .option, .drain, nil: break
        }
    }

    private func takeGreeting() {
        guard let output = handshake?.output, !output.isEmpty else { return }
        greeting += output
        handshake?.output = []
        scheduleFlush()
    }

    private func moveToFront() {
        staging.copyMemory(from: staging + head, byteCount: tail - head)
        tail -= head
        head = 0
    }

    // MARK: What is under way

    /// Takes a request into service that takes `share` bytes of memory.
    func begin(_ share: Int) -> NBDRequest {
        let request = idle.popFirst() ?? makeRequest()
        inFlight += 1
        inFlightBytes += share
        request.share = share
        return request
    }

    private func makeRequest() -> NBDRequest {
        let request = NBDRequest(connection: self)
        requests.append(request)
        return request
    }

    /// Takes a request back that needs no more answer.
    func recycle(_ request: NBDRequest) {
        inFlight -= 1
        inFlightBytes -= request.share
        if let buffer = request.buffer { memory.give(buffer) }
        request.buffer = nil
        request.payload = nil
        request.payloadLength = 0
        idle.append(request)
    }

    // MARK: Ending

    /// Reads nothing more; what is under way is answered.
    func stopReading() {
        guard isReading else { return }
        isReading = false
        head = 0
        tail = 0
        for request in [incoming, refused] {
            if let request { recycle(request) }
        }
        incoming = nil
        refused = nil
        scheduleFlush()
    }

    /// Gives the client up.
    func die() {
        guard !isDead else { return }
        isDead = true
        stopReading()
        while let request = replies.popFirst() { recycle(request) }
        greeting = []
        sentBytes = 0
        shutDown()
        scheduleFlush()
    }

    private func shutDown() {
        if !isShutDown { SocketCalls.shutdown(descriptor) }
        isShutDown = true
    }

    // MARK: After each batch

    /// Has `flush` called when everything that has ended was told.
    func scheduleFlush() {
        guard !isFlushScheduled else { return }
        isFlushScheduled = true
        thread.afterBatch(flushWork)
    }

    private func becameWritable() {
        isPollingOut = false
        scheduleFlush()
    }

    private func flush() {
        isFlushScheduled = false
        if !isPollingOut, !isDead { pollIfBlocked(send()) }
        if isStalled {
            isStalled = false
            parse()
        }
        if isClosing, withDevice == 0 { stopReading() }
        if wantsInput, !isPollingIn {
            isPollingIn = true
            thread.poll(.pollIn, FileDescriptor(rawValue: descriptor), readable)
        }
        finishIfDone()
    }

    private func pollIfBlocked(_ outcome: SendOutcome) {
        switch outcome {
        case .done: break
        case .blocked:
            isPollingOut = true
            thread.poll(.pollOut, FileDescriptor(rawValue: descriptor), writable)
        case .failed: die()
        }
    }

    private func finishIfDone() {
        guard !isReading, inFlight == 0, greeting.isEmpty else { return }
        shutDown()
        guard !isPollingIn, !isPollingOut, !isFlushScheduled else { return }
        SocketCalls.close(descriptor)
        thread.cancel(timer: negotiationTimer)
        listener.connectionEnded(self, hasTransmitted: handshake == nil)
    }
}
