import Testing

@testable import BlockServers

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
