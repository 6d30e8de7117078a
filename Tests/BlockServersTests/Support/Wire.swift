import Glibc

@testable import BlockServers

/// Messages of clients, and what servers say taken apart.
enum Wire {
    /// An option with its data.
    static func option(_ number: UInt32, _ data: [UInt8] = [], length: UInt32? = nil) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: NBDMagic.option)
        bytes.append(bigEndian: number)
        bytes.append(bigEndian: length ?? UInt32(data.count))
        return bytes + data
    }

    static func option(_ option: NBDOption, _ data: [UInt8] = []) -> [UInt8] { self.option(option.rawValue, data) }

    /// A string behind its length.
    static func string(_ text: String) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: UInt32(text.utf8.count))
        return bytes + Array(text.utf8)
    }

    /// The data of `info` and `go`.
    static func information(_ name: String, _ wanted: [UInt16] = []) -> [UInt8] {
        var bytes = string(name)
        bytes.append(bigEndian: UInt16(wanted.count))
        for number in wanted { bytes.append(bigEndian: number) }
        return bytes
    }

    /// The data of `listMetaContext` and `setMetaContext`.
    static func queries(_ name: String, _ queries: [String]) -> [UInt8] {
        var bytes = string(name)
        bytes.append(bigEndian: UInt32(queries.count))
        return bytes + queries.flatMap { string($0) }
    }

    /// A 32-bit number.
    static func number(_ value: UInt32) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: value)
        return bytes
    }

    /// A request without its payload.
    static func request(
        _ type: UInt16, flags: UInt16 = 0, cookie: UInt64 = 1, offset: UInt64 = 0, length: UInt32 = 0,
        magic: UInt32 = NBDMagic.request
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: magic)
        bytes.append(bigEndian: flags)
        bytes.append(bigEndian: type)
        bytes.append(bigEndian: cookie)
        bytes.append(bigEndian: offset)
        bytes.append(bigEndian: length)
        return bytes
    }
}

/// A reply to an option.
struct OptionReply: Equatable {
    var option: UInt32
    var type: UInt32
    var data: [UInt8]

    init(_ option: NBDOption, _ type: NBDOptionReply, _ data: [UInt8] = []) {
        self.option = option.rawValue
        self.type = type.rawValue
        self.data = data
    }

    /// A reply whose message for people does not matter.
    var withoutMessage: OptionReply {
        var copy = self
        if type & 1 << 31 != 0 { copy.data = [] }
        return copy
    }
}

/// What is left to be read of some bytes.
struct ByteCursor {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    mutating func number<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type = Number.self) -> Number? {
        let size = MemoryLayout<Number>.size
        guard let part = take(size) else { return nil }
        return part.withUnsafeBytes { $0.baseAddress?.bigEndian(at: 0, as: Number.self) }
    }

    mutating func take(_ count: Int) -> [UInt8]? {
        guard bytes.count - position >= count else { return nil }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    mutating func takeAll() -> [UInt8] {
        defer { position = bytes.count }
        return Array(bytes[position...])
    }

    /// All replies to options up to the end; nil where the bytes are something else.
    mutating func optionReplies() -> [OptionReply]? {
        var replies: [OptionReply] = []
        while !isAtEnd {
            guard number(UInt64.self) == NBDMagic.optionReply, let option = number(UInt32.self),
                let type = number(UInt32.self), let length = number(UInt32.self), let data = take(Int(length))
            else { return nil }
            var reply = OptionReply(.abort, .ack, data)
            reply.option = option
            reply.type = type
            replies.append(reply)
        }
        return replies
    }
}
