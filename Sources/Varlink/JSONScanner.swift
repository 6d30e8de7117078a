/// Why bytes are not a message.
enum EnvelopeError: Error, CustomStringConvertible {
    case notUTF8
    case notJSON(offset: Int)
    case tooDeep(limit: Int)
    case notAnObject
    case duplicateMember(String)
    case badMember(String)
    case unencodable(String)

    var description: String {
        switch self {
        case .notUTF8: "not UTF-8"
        case .notJSON(let offset): "not JSON at byte \(offset)"
        case .tooDeep(let limit): "nested deeper than \(limit)"
        case .notAnObject: "not a JSON object"
        case .duplicateMember(let name): "member \"\(name)\" occurs twice"
        case .badMember(let name): "member \"\(name)\" is missing or of the wrong type"
        case .unencodable(let reason): "cannot be encoded: \(reason)"
        }
    }
}

/// Checks a whole message against the JSON grammar in one pass and finds where its members' values lie.
///
/// The parameters of a call are handed on as the bytes they are and decoded once, by the method they are for. The pass in front of
/// that makes it safe: it bounds the nesting, which a recursive parser would pay for with its stack, before any parser sees the bytes.
/// Its own recursion is bounded by the same limit.
struct JSONScanner {
    /// One step from a value to one inside it.
    enum Step {
        case member(String)
        case element(Int)
    }

    private let bytes: [UInt8]
    private let depthLimit: Int
    private var position = 0
    /// Where numbers lie, when that is asked for.
    private var numbers: [Range<Int>]?
    /// A byte to find the way to, and the way as far as known, innermost step first.
    private var target = -1
    private var trail: [Step] = []

    private init(_ bytes: [UInt8], depthLimit: Int) {
        self.bytes = bytes
        self.depthLimit = depthLimit
    }

    /// The members of the object that `bytes` are, each with the range of its value.
    static func members(
        of bytes: [UInt8], depthLimit: Int
    ) throws(EnvelopeError) -> [(name: String, value: Range<Int>)] {
        do { _ = try UTF8Span(validating: bytes.span) } catch { throw .notUTF8 }
        var scanner = JSONScanner(bytes, depthLimit: depthLimit)
        scanner.skipSpace()
        guard scanner.peek == UInt8(ascii: "{") else {
            // What is no JSON at all is told from JSON of another kind.
            try scanner.value(depth: 0)
            throw .notAnObject
        }
        var members: [(name: String, value: Range<Int>)] = []
        var names: Set<String> = []
        try scanner.object(depth: 1) { name, value throws(EnvelopeError) in
            let name = try Envelope.decodeString(bytes[name])
            guard names.insert(name).inserted else { throw .duplicateMember(name) }
            members.append((name, value))
        }
        scanner.skipSpace()
        guard scanner.position == bytes.count else { throw scanner.malformed }
        return members
    }

    /// Where the numbers of a valid text lie, in order; nil when it is not valid.
    static func numbers(of bytes: [UInt8]) -> [Range<Int>]? {
        var scanner = JSONScanner(bytes, depthLimit: 256)
        scanner.numbers = []
        scanner.skipSpace()
        // Whoever asks has had the text checked; the fault itself is of no use here.
        guard (try? scanner.value(depth: 0)) != nil else { return nil }
        return scanner.numbers
    }

    /// The way to the innermost value that holds the byte at `target`.
    static func path(in bytes: [UInt8], to target: Int) -> [Step] {
        var scanner = JSONScanner(bytes, depthLimit: 256)
        scanner.target = target
        scanner.skipSpace()
        guard (try? scanner.value(depth: 0)) != nil else { return [] }
        return scanner.trail.reversed()
    }

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private var malformed: EnvelopeError { .notJSON(offset: position) }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard peek == byte else { return false }
        position += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private mutating func value(depth: Int) throws(EnvelopeError) {
        switch peek {
        case UInt8(ascii: "{"): try object(depth: depth + 1) { _, _ throws(EnvelopeError) in }
        case UInt8(ascii: "["): try array(depth: depth + 1)
        case UInt8(ascii: "\""): try string()
        case UInt8(ascii: "t"): try literal("true")
        case UInt8(ascii: "f"): try literal("false")
        case UInt8(ascii: "n"): try literal("null")
        default: try number()
        }
    }

    private mutating func object(
        depth: Int, member: (_ name: Range<Int>, _ value: Range<Int>) throws(EnvelopeError) -> Void
    ) throws(EnvelopeError) {
        guard depth <= depthLimit else { throw .tooDeep(limit: depthLimit) }
        position += 1
        skipSpace()
        if take(UInt8(ascii: "}")) { return }
        repeat {
            skipSpace()
            let nameStart = position
            try string()
            let name = nameStart..<position
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw malformed }
            skipSpace()
            let valueStart = position
            try value(depth: depth)
            if target >= valueStart, target < position {
                trail.append(.member(try Envelope.decodeString(bytes[name])))
            }
            try member(name, valueStart..<position)
            skipSpace()
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "}")) else { throw malformed }
    }

    private mutating func array(depth: Int) throws(EnvelopeError) {
        guard depth <= depthLimit else { throw .tooDeep(limit: depthLimit) }
        position += 1
        skipSpace()
        if take(UInt8(ascii: "]")) { return }
        var index = 0
        repeat {
            skipSpace()
            let start = position
            try value(depth: depth)
            if target >= start, target < position { trail.append(.element(index)) }
            index += 1
            skipSpace()
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "]")) else { throw malformed }
    }

    private mutating func string() throws(EnvelopeError) {
        guard take(UInt8(ascii: "\"")) else { throw malformed }
        while let byte = peek {
            guard byte >= 0x20 else { throw malformed }
            position += 1
            if byte == UInt8(ascii: "\"") { return }
            if byte == UInt8(ascii: "\\") { try escape() }
        }
        throw malformed
    }

    private mutating func escape() throws(EnvelopeError) {
        guard let byte = peek else { throw malformed }
        position += 1
        if byte == UInt8(ascii: "u") {
            for _ in 0..<4 {
                guard let digit = peek, Self.isHexDigit(digit) else { throw malformed }
                position += 1
            }
        } else if !"\"\\/bfnrt".utf8.contains(byte) {
            throw malformed
        }
    }

    private mutating func literal(_ text: StaticString) throws(EnvelopeError) {
        for offset in 0..<text.utf8CodeUnitCount where !take(text.utf8Start[offset]) { throw malformed }
    }

    private mutating func number() throws(EnvelopeError) {
        let start = position
        _ = take(UInt8(ascii: "-"))
        if !take(UInt8(ascii: "0")) { try digits() }
        if take(UInt8(ascii: ".")) { try digits() }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            try digits()
        }
        numbers?.append(start..<position)
    }

    private mutating func digits() throws(EnvelopeError) {
        let start = position
        while let byte = peek, Self.isDigit(byte) { position += 1 }
        guard position > start else { throw malformed }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        isDigit(byte) || (byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "f"))
    }
}
