import FoundationEssentials

// The two objects of the protocol. They are taken apart and put together around their parameters, which stay the bytes they are:
//
//     call   {"method":"a.b.C","parameters":{...},"oneway":true,"more":true,"upgrade":true} NUL
//     reply  {"parameters":{...},"continues":true} NUL      or      {"error":"a.b.E","parameters":{...}} NUL

/// A call as it came off the wire.
struct CallEnvelope {
    var method: String
    var parameters: Data
    var more = false
    var oneway = false
    var upgrade = false

    init(_ bytes: [UInt8], depthLimit: Int) throws(EnvelopeError) {
        var method: String?
        parameters = Envelope.emptyObject
        for (name, range) in try JSONScanner.members(of: bytes, depthLimit: depthLimit) {
            let value = bytes[range]
            switch name {
            case "method": method = try Envelope.decodeString(value, member: name)
            case "parameters": parameters = try Envelope.object(value, member: name)
            case "more": more = try Envelope.boolean(value, member: name)
            case "oneway": oneway = try Envelope.boolean(value, member: name)
            case "upgrade": upgrade = try Envelope.boolean(value, member: name)
            default: break
            }
        }
        guard let method else { throw .badMember("method") }
        self.method = method
    }

    init(method: String, parameters: Data, more: Bool = false, oneway: Bool = false) {
        self.method = method
        self.parameters = parameters
        self.more = more
        self.oneway = oneway
    }

    /// The bytes on the wire, with the NUL.
    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(parameters.count + method.utf8.count + 64)
        bytes += "{\"method\":".utf8
        bytes += Envelope.encode(string: method)
        bytes += ",\"parameters\":".utf8
        bytes += parameters
        if more { bytes += ",\"more\":true".utf8 }
        if oneway { bytes += ",\"oneway\":true".utf8 }
        bytes += "}\0".utf8
        return bytes
    }
}

/// A reply as it came off the wire.
struct ReplyEnvelope {
    var error: String?
    var parameters: Data
    var continues = false

    init(_ bytes: [UInt8], depthLimit: Int) throws(EnvelopeError) {
        parameters = Envelope.emptyObject
        for (name, range) in try JSONScanner.members(of: bytes, depthLimit: depthLimit) {
            let value = bytes[range]
            switch name {
            case "error" where !value.elementsEqual("null".utf8): error = try Envelope.decodeString(value, member: name)
            case "parameters": parameters = try Envelope.object(value, member: name)
            case "continues": continues = try Envelope.boolean(value, member: name)
            default: break
            }
        }
    }

    init(error: String? = nil, parameters: Data, continues: Bool = false) {
        self.error = error
        self.parameters = parameters
        self.continues = continues
    }

    /// The bytes on the wire, with the NUL.
    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(parameters.count + 64)
        bytes += "{".utf8
        if let error {
            bytes += "\"error\":".utf8
            bytes += Envelope.encode(string: error)
            bytes += ",".utf8
        }
        bytes += "\"parameters\":".utf8
        bytes += parameters
        if continues { bytes += ",\"continues\":true".utf8 }
        bytes += "}\0".utf8
        return bytes
    }
}

/// The small conversions that both envelopes share.
enum Envelope {
    static let emptyObject = Data("{}".utf8)

    /// Encodes parameters, insisting on an object.
    static func encodeObject(_ value: some Encodable) throws(EnvelopeError) -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes]
        let data: Data
        do { data = try encoder.encode(value) } catch { throw .unencodable("\(error)") }
        guard data.first == UInt8(ascii: "{") else { throw .notAnObject }
        return data
    }

    /// Checks bytes that a caller says are a JSON object. Line breaks and the like inside are fine, a NUL is not JSON.
    static func check(object data: Data, depthLimit: Int) throws(EnvelopeError) {
        _ = try JSONScanner.members(of: Array(data), depthLimit: depthLimit)
    }

    /// An object of strings, which cannot fail to encode.
    static func object(_ members: [String: String]) -> Data {
        var bytes: [UInt8] = []
        for (name, value) in members.sorted(by: { $0.key < $1.key }) {
            bytes += bytes.isEmpty ? "{".utf8 : ",".utf8
            bytes += encode(string: name)
            bytes += ":".utf8
            bytes += encode(string: value)
        }
        if bytes.isEmpty { bytes += "{".utf8 }
        bytes += "}".utf8
        return Data(bytes)
    }

    static func encode(string: String) -> [UInt8] {
        var bytes: [UInt8] = [UInt8(ascii: "\"")]
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
            case ..<0x20:
                let digits = String(byte, radix: 16)
                bytes += "\\u\(String(repeating: "0", count: 4 - digits.utf8.count))\(digits)".utf8
            default: bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
        return bytes
    }

    /// A JSON string, quotes included, as text.
    static func decodeString(_ bytes: ArraySlice<UInt8>, member: String = "") throws(EnvelopeError) -> String {
        guard bytes.count >= 2, bytes.first == UInt8(ascii: "\"") else { throw .badMember(member) }
        guard bytes.contains(UInt8(ascii: "\\")) else {
            return String(decoding: bytes.dropFirst().dropLast(), as: UTF8.self)
        }
        do { return try JSONDecoder().decode(String.self, from: Data(bytes)) } catch { throw .badMember(member) }
    }

    /// An object's bytes; null counts as the empty object.
    static func object(_ bytes: ArraySlice<UInt8>, member: String) throws(EnvelopeError) -> Data {
        if bytes.elementsEqual("null".utf8) { return emptyObject }
        guard bytes.first == UInt8(ascii: "{") else { throw .badMember(member) }
        return Data(bytes)
    }

    /// A boolean; null counts as false.
    static func boolean(_ bytes: ArraySlice<UInt8>, member: String) throws(EnvelopeError) -> Bool {
        if bytes.elementsEqual("true".utf8) { return true }
        if bytes.elementsEqual("false".utf8) || bytes.elementsEqual("null".utf8) { return false }
        throw .badMember(member)
    }

    /// Splits `a.b.C` into `a.b` and `C`; nil when there is no dot or nothing on one side of the last.
    static func split(method: String) -> (interface: String, member: String)? {
        guard let dot = method.utf8.lastIndex(of: UInt8(ascii: ".")) else { return nil }
        let interface = String(method[..<dot])
        let member = String(method[method.utf8.index(after: dot)...])
        return interface.isEmpty || member.isEmpty ? nil : (interface, member)
    }
}
