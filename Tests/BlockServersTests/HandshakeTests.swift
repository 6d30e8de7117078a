import BlockIO
import TestSupport
import Testing

@testable import BlockServers

/// A negotiation without a socket: what a client sends, and what comes back.
private struct Conversation {
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
private func exportInfo(flags: UInt16 = Conversation.flags) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(bigEndian: NBDInfo.export.rawValue)
    bytes.append(bigEndian: UInt64(1 << 20))
    bytes.append(bigEndian: flags)
    return bytes
}

@Suite("The handshake")
struct HandshakeTests {
    @Test("begins with the two magic numbers and both flags")
    func greeting() {
        let export = NBDExport(name: "disk", device: HoldingDevice(sectors: 2048))
        let handshake = NBDHandshake(export: export, limits: NBDLimits())
        #expect(handshake.output == Array("NBDMAGICIHAVEOPT".utf8) + [0, 3])
    }

    @Test("ends where a client sets a flag that was not offered", arguments: [4, 8, 1 << 16, 0x8000_0003] as [UInt32])
    func badFlags(flags: UInt32) {
        let talk = Conversation(flags: flags)
        #expect(talk.handshake.state == .ended)
    }

    @Test("ends where an option begins with another number")
    func badMagic() {
        var talk = Conversation()
        talk.say([UInt8](repeating: 0x41, count: 16))
        #expect(talk.handshake.state == .ended && talk.handshake.output.isEmpty)
    }

    @Test("is the same however the bytes are cut")
    func pieces() throws {
        let bytes =
            Wire.number(3) + Wire.option(.list) + Wire.option(77, [1, 2, 3]) + Wire.option(.structuredReply)
            + Wire.option(.setMetaContext, Wire.queries("disk", ["base:allocation"]))
            + Wire.option(.go, Wire.information("", [3])) + [0x25, 0x60]
        var whole = Conversation(flags: nil)
        whole.say(bytes)
        var cut = Conversation(flags: nil)
        for byte in bytes { cut.say([byte]) }
        #expect(whole.handshake.state == .transmission(NBDSession(isStructured: true, hasAllocation: true)))
        #expect(whole.handshake.state == cut.handshake.state && whole.output() == cut.output())
        // What comes behind `go` belongs to the requests.
        #expect(whole.rest == [0x25, 0x60] && cut.rest == [0x25, 0x60])
    }

    @Test(
        "exports by name: size, flags and 124 zeroes, which a client can do without",
        arguments: [0, 1, 2, 3] as [UInt32])
    func exportName(flags: UInt32) {
        for name in ["", "disk"] {
            var talk = Conversation(flags: flags)
            talk.say(Wire.option(.exportName, Array(name.utf8)))
            let zeroes = flags & 2 == 0 ? 124 : 0
            #expect(talk.output() == Array(exportInfo().dropFirst(2)) + [UInt8](repeating: 0, count: zeroes))
            #expect(talk.handshake.state == .transmission(NBDSession()))
        }
    }

    @Test("hangs up on an unknown export by name, which cannot be refused otherwise")
    func unknownExportName() {
        var talk = Conversation()
        talk.say(Wire.option(.exportName, Array("disc".utf8)))
        #expect(talk.handshake.state == .ended && talk.handshake.output.isEmpty)
    }

    @Test("allows a client of the old kind to export by name and nothing else")
    func notFixed() {
        var talk = Conversation(flags: 2)
        talk.say(Wire.option(.list))
        #expect(talk.handshake.state == .ended && talk.handshake.output.isEmpty)
    }

    @Test("acknowledges an abort and ends")
    func abort() {
        var talk = Conversation()
        #expect(talk.ask(.abort) == [OptionReply(.abort, .ack)])
        #expect(talk.handshake.state == .ended)
    }

    @Test("lists the one export")
    func list() {
        var talk = Conversation()
        #expect(talk.ask(.list) == [OptionReply(.list, .server, Wire.string("disk")), OptionReply(.list, .ack)])
        #expect(talk.ask(.list, [0]) == [OptionReply(.list, .invalid)])
    }

    @Test("refuses what it does not have, reads its data away and goes on")
    func unsupported() {
        var talk = Conversation()
        #expect(talk.ask(.startTLS) == [OptionReply(.startTLS, .unsupported)])
        #expect(talk.ask(.startTLS, [1]) == [OptionReply(.startTLS, .invalid)])
        #expect(talk.ask(.extendedHeaders) == [OptionReply(.extendedHeaders, .unsupported)])
        for number in [0, 4, 12, 0xFFFF_FFFF] as [UInt32] {
            var reply = OptionReply(.list, .unsupported)
            reply.option = number
            #expect(talk.ask(Wire.option(number, [UInt8](repeating: 7, count: 300_000))) == [reply])
        }
        #expect(talk.ask(.list)?.count == 2)
    }

    @Test("turns structured replies on, once")
    func structuredReplies() {
        var talk = Conversation()
        #expect(talk.ask(.structuredReply, [1]) == [OptionReply(.structuredReply, .invalid)])
        #expect(talk.ask(.structuredReply) == [OptionReply(.structuredReply, .ack)])
        #expect(talk.ask(.structuredReply) == [OptionReply(.structuredReply, .invalid)])
        let info = OptionReply(.info, .info, exportInfo(flags: Conversation.flags | 1 << 7))
        #expect(talk.ask(.info, Wire.information("disk")) == [info, OptionReply(.info, .ack)])
    }
}

@Suite("Information on an export")
struct InformationTests {
    @Test("holds what was asked for and nothing twice")
    func items() {
        var talk = Conversation()
        let replies = talk.ask(.info, Wire.information("disk", [1, 2, 3, 3, 1, 99]))
        let name = OptionReply(.info, .info, [0, 1] + Array("disk".utf8))
        let sizes = OptionReply(.info, .info, [0, 3] + Wire.number(512) + Wire.number(4096) + Wire.number(32 << 20))
        #expect(replies == [OptionReply(.info, .info, exportInfo()), name, sizes, OptionReply(.info, .ack)])
        #expect(talk.handshake.state == .option)
    }

    @Test("is the same by go, which begins transmission", arguments: ["", "disk"])
    func go(name: String) {
        var talk = Conversation()
        let informed = talk.ask(.info, Wire.information(name, [3]))?.map(\.data)
        #expect(talk.ask(.go, Wire.information(name, [3]))?.map(\.data) == informed)
        #expect(talk.handshake.state == .transmission(NBDSession()))
    }

    @Test("is refused for unknown exports, and the negotiation goes on", arguments: [NBDOption.info, .go])
    func unknown(option: NBDOption) {
        var talk = Conversation()
        #expect(talk.ask(option, Wire.information("disk2")) == [OptionReply(option, .unknown)])
        #expect(talk.ask(option, Wire.information("dis")) == [OptionReply(option, .unknown)])
        #expect(talk.ask(.list)?.count == 2)
    }

    static let damaged: [String: [UInt8]] = [
        "nothing": [], "half a length": [0, 0, 0], "no numbers": Wire.string("disk"),
        "half a count": Wire.string("disk") + [0],
        "a name longer than the data": Wire.number(6) + Array("disk".utf8) + [0],
        "a name longer than all data": Wire.number(0xFFFF_FFFF) + [0, 0],
        "fewer numbers than counted": Wire.string("disk") + [0, 2, 0, 1],
        "more numbers than counted": Wire.string("disk") + [0, 0, 0, 1],
        "a name longer than names may be": Wire.information(String(repeating: "x", count: 4097)),
    ]

    @Test("is refused where the lengths do not add up", arguments: damaged.keys.sorted())
    func lengths(what: String) throws {
        let data = try #require(Self.damaged[what])
        for option in [NBDOption.info, .go] {
            var talk = Conversation()
            #expect(talk.ask(option, data) == [OptionReply(option, .invalid)])
            #expect(talk.ask(.list)?.count == 2)
        }
    }

    @Test("says that a device is read-only")
    func readOnly() {
        let device = HoldingDevice(sectors: 8)
        device.isReadOnly = true
        #expect(
            NBDExport(name: "", device: device).flags == [
                .hasFlags, .readOnly, .sendFlush, .sendFUA, .canMultiConn, .sendCache,
            ])
        device.isReadOnly = false
        device.canDiscard = false
        #expect(!NBDExport(name: "", device: device).flags.contains(.sendTrim))
    }

    @Test("gives block sizes that the protocol allows")
    func blockSizes() {
        let device = HoldingDevice(sectors: 1 << 20)
        device.logicalBlockSectors = 8
        device.preferredSectors = 1
        #expect(NBDExport(name: "", device: device).minimumBlock == 4096)
        #expect(NBDExport(name: "", device: device).preferredBlock == 4096)
        device.preferredSectors = 1 << 20
        #expect(NBDExport(name: "", device: device).preferredBlock == 32 << 20)
    }
}

@Suite("Contexts")
struct ContextTests {
    private func context(_ option: NBDOption, _ id: UInt32) -> OptionReply {
        OptionReply(option, .metaContext, Wire.number(id) + Array("base:allocation".utf8))
    }

    @Test(
        "are listed: all where nothing is asked, those of a name space, or one",
        arguments: [[], ["base:"], ["base:allocation"], ["x", "base:"]])
    func list(queries: [String]) {
        var talk = Conversation()
        let option = NBDOption.listMetaContext
        #expect(talk.ask(option, Wire.queries("disk", queries)) == [context(option, 0), OptionReply(option, .ack)])
    }

    @Test("that are not known are not listed", arguments: ["", "base", "base:alloc", "qemu:dirty-bitmap:x"])
    func unknown(query: String) {
        var talk = Conversation()
        let option = NBDOption.listMetaContext
        #expect(talk.ask(option, Wire.queries("", [query])) == [OptionReply(option, .ack)])
    }

    @Test("are selected, and every selection takes the place of the former")
    func select() {
        var talk = Conversation()
        _ = talk.ask(.structuredReply)
        let option = NBDOption.setMetaContext
        let selected = [context(option, 1), OptionReply(option, .ack)]
        #expect(talk.ask(option, Wire.queries("disk", ["base:allocation", "base:allocation"])) == selected)
        #expect(talk.handshake.session.hasAllocation)
        for queries in [[], ["base:"], ["other"]] {
            _ = talk.ask(option, Wire.queries("disk", ["base:allocation"]))
            #expect(talk.ask(option, Wire.queries("disk", queries)) == [OptionReply(option, .ack)])
            #expect(!talk.handshake.session.hasAllocation)
        }
        _ = talk.ask(option, Wire.queries("disk", ["base:allocation"]))
        #expect(talk.ask(option, Wire.queries("other", ["base:allocation"])) == [OptionReply(option, .unknown)])
        #expect(!talk.handshake.session.hasAllocation)
        _ = talk.ask(option, Wire.queries("disk", ["base:allocation"]))
        #expect(talk.ask(option, [1]) == [OptionReply(option, .invalid)])
        #expect(!talk.handshake.session.hasAllocation)
    }

    @Test("cannot be selected without structured replies")
    func needsStructuredReplies() {
        var talk = Conversation()
        let option = NBDOption.setMetaContext
        #expect(talk.ask(option, Wire.queries("disk", ["base:allocation"])) == [OptionReply(option, .invalid)])
    }

    static let damaged: [String: [UInt8]] = [
        "nothing": [], "no count": Wire.string("disk"),
        "fewer queries than counted": Wire.string("disk") + Wire.number(1),
        "bytes behind the count": Wire.string("disk") + Wire.number(0) + [0],
        "bytes behind the queries": Wire.queries("disk", ["a"]) + [0],
        "four milliard queries": Wire.string("disk") + Wire.number(0xFFFF_FFFF) + Wire.string("a"),
        "a query longer than the data": Wire.string("disk") + Wire.number(1) + Wire.number(0xFFFF_FFFF),
    ]

    @Test("are refused where the lengths do not add up", arguments: damaged.keys.sorted())
    func lengths(what: String) throws {
        let data = try #require(Self.damaged[what])
        for option in [NBDOption.listMetaContext, .setMetaContext] {
            var talk = Conversation()
            _ = talk.ask(.structuredReply)
            #expect(talk.ask(option, data) == [OptionReply(option, .invalid)])
            #expect(talk.ask(.list)?.count == 2)
        }
    }
}

@Suite("The handshake's limits")
struct HandshakeLimitTests {
    @Test("A client has so many options and no more")
    func options() {
        var limits = NBDLimits()
        limits.options = 5
        var talk = Conversation(limits: limits)
        for _ in 0..<4 { #expect(talk.ask(.list)?.count == 2) }
        #expect(talk.ask(Wire.option(99))?.count == 1)
        talk.say(Wire.option(.list))
        #expect(talk.handshake.state == .ended && talk.handshake.output.isEmpty)
    }

    @Test("Data that is too long is read away and refused; much more than that ends the negotiation")
    func length() {
        var limits = NBDLimits()
        limits.optionBytes = 100
        limits.drainedBytes = 1000
        var talk = Conversation(limits: limits)
        let go = OptionReply(.go, .tooBig)
        #expect(talk.ask(.go, [UInt8](repeating: 0, count: 101)) == [go])
        #expect(talk.ask(.go, [UInt8](repeating: 0, count: 1000)) == [go])
        #expect(talk.ask(.list)?.count == 2)
        talk.say(Wire.option(NBDOption.go.rawValue, length: 1001))
        #expect(talk.handshake.state == .ended && talk.handshake.output.isEmpty)
        var other = Conversation(limits: limits)
        other.say(Wire.option(NBDOption.exportName.rawValue, length: 101))
        #expect(other.handshake.state == .ended)
    }
}
