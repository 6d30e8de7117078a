@testable import BlockServers

/// A negotiation without a socket: what a client sends, and what comes back.
struct Conversation {
    static let flags: UInt16 = 0x0D6D  // every flag but READ_ONLY, ROTATIONAL, DF and RESIZE
    var handshake: NBDHandshake
    /// What was not taken.
    var rest: [UInt8] = []

    init(flags: UInt32? = 3, limits: NBDLimits = NBDLimits()) {
        var export = NBDExport(name: "disk", device: HoldingDevice(sectors: 2048))
        export.preferredBlock = 4096
        handshake = NBDHandshake(export: export, limits: limits)
        _ = output()
        if let flags { say(Wire.number(flags)) }
    }

    mutating func say(_ bytes: [UInt8]) {
        rest += bytes
        let used = rest.withUnsafeBytes { handshake.take($0) }
        rest.removeFirst(used)
    }

    mutating func output() -> [UInt8] {
        defer { handshake.output = [] }
        return handshake.output
    }

    /// Says something and answers the replies to it.
    mutating func ask(_ bytes: [UInt8]) -> [OptionReply]? {
        say(bytes)
        var cursor = ByteCursor(output())
        return cursor.optionReplies()?.map(\.withoutMessage)
    }

    mutating func ask(_ option: NBDOption, _ data: [UInt8] = []) -> [OptionReply]? { ask(Wire.option(option, data)) }
}

/// The information on the export of the conversations.
func exportInfo(flags: UInt16 = Conversation.flags) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(bigEndian: NBDInfo.export.rawValue)
    bytes.append(bigEndian: UInt64(1 << 20))
    bytes.append(bigEndian: flags)
    return bytes
}
