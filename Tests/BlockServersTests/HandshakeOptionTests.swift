import Testing

@testable import BlockServers

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
