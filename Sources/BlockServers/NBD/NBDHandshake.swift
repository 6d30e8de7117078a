// The negotiation of the fixed newstyle handshake, as a machine without a socket: it is fed with what a client sends and
// says what to answer.
//
//     server                              client
//     NBDMAGIC IHAVEOPT flags      ──►
//                                  ◄──    flags
//                                  ◄──    IHAVEOPT number length data     as often as it likes
//     magic number type length data ──►                                   one or several to each
//
// It ends with `go` or `exportName`, behind which the client's requests follow, with `abort`, or where the client does what
// the protocol does not allow. A client may send ahead; every option is answered in its turn.

/// What was negotiated.
struct NBDSession: Hashable {
    /// Whether reads are answered in chunks.
    var isStructured = false
    /// Whether the client may ask for `base:allocation`.
    var hasAllocation = false
}

/// One client's negotiation.
struct NBDHandshake {
    /// Where it stands.
    enum State: Hashable {
        case clientFlags
        case option
        /// The data of an option that is not looked at is read away; then the option is refused.
        case drain(option: UInt32, rest: Int, reply: NBDOptionReply)
        /// The export was chosen: what follows are requests.
        case transmission(NBDSession)
        /// The connection ends when the output is sent.
        case ended
    }

    /// The context that a client may select.
    static let allocationContext = "base:allocation"
    /// The number that it has in replies.
    static let allocationID: UInt32 = 1

    let export: NBDExport
    private let limits: NBDLimits
    private(set) var state = State.clientFlags
    /// What is to be sent, in order; whoever sends it empties it.
    var output: [UInt8] = []
    private var options = 0
    private var padsExportName = true
    private var isFixed = false
    var session = NBDSession()

    /// Greets a client.
    init(export: NBDExport, limits: NBDLimits) {
        self.export = export
        self.limits = limits
        output.append(bigEndian: NBDMagic.hello)
        output.append(bigEndian: NBDMagic.option)
        output.append(bigEndian: UInt16(([.fixedNewstyle, .noZeroes] as NBDHandshakeFlags).rawValue))
    }

    /// Takes what a client has sent, and answers how much of it was used up: the rest belongs to the next call, with more
    /// behind it, or, once `state` is `transmission`, to the requests.
    mutating func take(_ bytes: UnsafeRawBufferPointer) -> Int {
        var used = 0
        while let step = takeOne(UnsafeRawBufferPointer(rebasing: bytes[used...])) { used += step }
        return used
    }

    /// Takes one message; nil where it is not there in full or none is expected any more.
    private mutating func takeOne(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard let base = bytes.baseAddress else { return nil }
        switch state {
        case .clientFlags:
            guard bytes.count >= 4 else { return nil }
            takeFlags(base.bigEndian(at: 0))
            return 4
        case .option: return takeOption(bytes)
        case .drain(let option, let rest, let reply):
            let count = min(rest, bytes.count)
            if count == 0 { return nil }
            state = .drain(option: option, rest: rest - count, reply: reply)
            if count == rest {
                state = .option
                refuse(option, reply)
            }
            return count
        case .transmission, .ended: return nil
        }
    }

    private mutating func takeFlags(_ number: UInt32) {
        let flags = NBDHandshakeFlags(rawValue: number)
        guard flags.isSubset(of: [.fixedNewstyle, .noZeroes]) else { return state = .ended }
        isFixed = flags.contains(.fixedNewstyle)
        padsExportName = !flags.contains(.noZeroes)
        state = .option
    }

    private mutating func takeOption(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard bytes.count >= NBDSize.optionHeader, let base = bytes.baseAddress else { return nil }
        let magic: UInt64 = base.bigEndian(at: 0)
        let number: UInt32 = base.bigEndian(at: 8)
        let length = Int(base.bigEndian(at: 12, as: UInt32.self))
        let option = NBDOption(rawValue: number)
        guard magic == NBDMagic.option, options < limits.options, isFixed || option == .exportName else {
            state = .ended
            return NBDSize.optionHeader
        }
        guard let option, length <= limits.optionBytes else {
            return drain(number, length, option == nil ? .unsupported : .tooBig)
        }
        guard bytes.count - NBDSize.optionHeader >= length else { return nil }
        options += 1
        let end = NBDSize.optionHeader + length
        answer(option, UnsafeRawBufferPointer(rebasing: bytes[NBDSize.optionHeader..<end]))
        return end
    }

    /// Refuses an option without a look at its data; nobody can be told so who has chosen an export by `exportName`.
    private mutating func drain(_ option: UInt32, _ length: Int, _ reply: NBDOptionReply) -> Int {
        options += 1
        let canBeRefused = option != NBDOption.exportName.rawValue && length <= limits.drainedBytes
        state = canBeRefused ? .drain(option: option, rest: length, reply: reply) : .ended
        if canBeRefused, length == 0 {
            state = .option
            refuse(option, reply)
        }
        return NBDSize.optionHeader
    }

    private mutating func answer(_ option: NBDOption, _ data: UnsafeRawBufferPointer) {
        switch option {
        case .exportName: chooseByName(data)
        case .abort:
            reply(option, .ack)
            state = .ended
        case .list: list(data)
        case .info, .go: inform(option, data)
        case .structuredReply:
            // Asking twice is a mistake of the client.
            guard data.isEmpty, !session.isStructured else { return refuse(option.rawValue, .invalid) }
            session.isStructured = true
            reply(option, .ack)
        case .listMetaContext, .setMetaContext: negotiateContexts(option, data)
        case .startTLS, .extendedHeaders: refuse(option.rawValue, data.isEmpty ? .unsupported : .invalid)
        }
    }

    // MARK: Choosing an export

    /// The old way, in which nothing can be refused but by hanging up.
    private mutating func chooseByName(_ name: UnsafeRawBufferPointer) {
        guard export.answers(to: name) else { return state = .ended }
        output.append(bigEndian: export.bytes)
        output.append(bigEndian: flags.rawValue)
        if padsExportName { output.append(contentsOf: repeatElement(0, count: NBDSize.zeroes)) }
        state = .transmission(session)
    }

    /// The flags of the export for this client.
    var flags: NBDTransmissionFlags { session.isStructured ? export.flags.union(.sendDF) : export.flags }

    /// The connection begins to serve requests.
    mutating func begin() { state = .transmission(session) }

    // MARK: Replies

    /// Appends a reply.
    mutating func reply(_ option: NBDOption, _ type: NBDOptionReply, _ data: [UInt8] = []) {
        replyHeader(option.rawValue, type, data.count)
        output.append(contentsOf: data)
    }

    /// Appends a refusal.
    mutating func refuse(_ option: UInt32, _ type: NBDOptionReply, _ message: String = "") {
        let text = message.utf8
        replyHeader(option, type, text.count)
        output.append(contentsOf: text)
    }

    private mutating func replyHeader(_ option: UInt32, _ type: NBDOptionReply, _ length: Int) {
        output.append(bigEndian: NBDMagic.optionReply)
        output.append(bigEndian: option)
        output.append(bigEndian: type.rawValue)
        output.append(bigEndian: UInt32(length))
    }
}
