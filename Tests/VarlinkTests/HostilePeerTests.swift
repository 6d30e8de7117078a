import Dispatch
import FoundationEssentials
import Glibc
import SystemPackage
import TestSupport
import Testing
import UnixSockets

@testable import Varlink

@Suite("Hostile and broken peers")
struct HostilePeerTests {
    private static func isDrop(_ event: VarlinkEvent) -> Bool {
        if case .dropped = event { true } else { false }
    }

    /// Checks that the service still serves somebody else.
    private func expectServing(_ test: TestService) throws {
        let reply: Text = try test.connect().call("io.ucopyd.test.Echo", Text(text: "still here"))
        #expect(reply.text == "still here")
    }

    @Test(
        "Garbage is answered with an error and the connection ends; others are served",
        arguments: [
            "\0", "\0\0\0\0", "garbage\0", "{}\0", "[]\0", "1\0", "null\0", "\"a.b.C\"\0", "{\"method\":1}\0",
            "{\"method\":null}\0", "{\"method\":\"a.b.C\"\0", "{\"method\":\"a.b.C\"}}\0", "{\"method\":\"a.b.C\",}\0",
            "{\"method\":\"a.b.C\",\"parameters\":[]}\0", "{\"method\":\"a.b.C\",\"parameters\":\"x\"}\0",
            "{\"method\":\"a.b.C\",\"more\":1}\0", "{\"method\":\"a.b.C\",\"method\":\"a.b.D\"}\0",
            "{\"method\":\"a.b.C\",\"parameters\":{\"x\":01}}\0", "{\"method\":\"\u{1}\"}\0",
            "{\"method\":\"\\ud800\"}\0", "{'method':'a.b.C'}\0",
        ])
    func garbage(text: String) throws {
        let test = try TestService()
        let socket = try test.connectRaw()
        try socket.send(text)
        #expect(
            try socket.receive()
                == #"{"error":"org.varlink.service.InvalidParameter","parameters":{"parameter":"message"}}"#)
        #expect(try socket.receive() == nil)
        try expectServing(test)
    }

    @Test("Bytes that are not UTF-8 are refused")
    func notUTF8() throws {
        let test = try TestService()
        let socket = try test.connectRaw()
        try socket.send(Array("{\"method\":\"a.b.".utf8) + [0xC3, 0x28] + Array("\"}\0".utf8))
        #expect(try socket.receive()?.contains("InvalidParameter") == true)
        #expect(try socket.receive() == nil)
    }

    @Test("Random bytes never stop the service")
    func randomBytes() throws {
        let test = try TestService()
        var generator = SplitMix(state: 7)
        let alphabet = Array("{}[]\",:\\u0truefalsn \0method.parameters".utf8)
        for _ in 0..<200 {
            let socket = try test.connectRaw()
            let bytes = (0..<Int.random(in: 1...400, using: &generator)).map { _ in
                Int.random(in: 0..<20, using: &generator) == 0
                    ? UInt8.random(in: 0...255, using: &generator) : alphabet.randomElement(using: &generator) ?? 0
            }
            do throws(Errno) {
                _ = try SocketCalls.send(socket.descriptor, bytes[...])
            } catch {
                #expect(error == .brokenPipe || error == .connectionReset)
            }
        }
        try expectServing(test)
    }

    @Test("Upgrading is refused by name")
    func upgrade() throws {
        let test = try TestService()
        let socket = try test.connectRaw()
        try socket.send(#"{"method":"io.ucopyd.test.Echo","upgrade":true}"# + "\0")
        #expect(try socket.receive()?.contains(#""parameter":"upgrade""#) == true)
    }

    @Test(
        "Deep nesting is refused before any parser follows it",
        arguments: [
            (String(repeating: "[", count: 200_000), false),
            ("{\"method\":\"a.b.C\",\"parameters\":" + String(repeating: "{\"a\":", count: 40_000), false),
            (
                #"{"method":"io.ucopyd.test.Echo","parameters":{"text":"x","y":"#
                    + String(repeating: "[", count: 63) + String(repeating: "]", count: 63) + "}}", false
            ),
            (
                #"{"method":"io.ucopyd.test.Echo","parameters":{"text":"x","y":"#
                    + String(repeating: "[", count: 62) + String(repeating: "]", count: 62) + "}}", true
            ),
        ])
    func nesting(text: String, isAccepted: Bool) throws {
        let test = try TestService()
        let socket = try test.connectRaw()
        try socket.send(text + "\0")
        #expect(try socket.receive()?.contains("InvalidParameter") == !isAccepted)
        try expectServing(test)
    }

    @Test("Descriptors that come while a call is served wait at the peer's side, and are not lost")
    func hoardedDescriptors() throws {
        let test = try TestService()
        let socket = try test.connectRaw()
        try socket.send(#"{"method":"io.ucopyd.test.Park"}"# + "\0")
        #expect(test.parked.wait(count: 1))
        let ends = try Program.pipe()
        defer {
            SocketCalls.close(ends.reading)
            SocketCalls.close(ends.writing)
        }
        let identity = try #require(FileIdentity(ends.reading))
        let flags = fcntl(socket.descriptor, F_GETFL)
        try #require(fcntl(socket.descriptor, F_SETFL, flags | O_NONBLOCK) == 0)
        // Each message is short: not its bytes but its descriptors are what is too much.
        let message = Array((#"{"method":"io.ucopyd.test.Echo","parameters":{"text":"x"},"oneway":true}"# + "\0").utf8)
        let descriptors = Array(repeating: ends.reading, count: 8)
        var sent = 0
        while sent < 100, try SocketCalls.send(socket.descriptor, message[...], descriptors: descriptors) != nil {
            sent += 1
        }
        #expect(sent > 10)
        usleep(300_000)
        // Ours, those that wait in the service, and none of those that wait in the socket.
        #expect(try descriptorCount(sameFileAs: identity) <= 1 + 16 + 16)
        for call in test.parked.all { call.reply() }
        #expect(test.echoed.wait(count: sent))
        try expectServing(test)
    }

    @Test("A message of very many members takes no time worth mentioning")
    func manyMembers() throws {
        let test = try TestService()
        let socket = try test.connectRaw()
        let members = (0..<20_000).map { ",\"\(String($0, radix: 36))\":1" }.joined()
        let start = DispatchTime.now().uptimeNanoseconds
        try socket.send(#"{"method":"io.ucopyd.test.Echo","parameters":{"text":"x"}"# + members + "}\0")
        #expect(try socket.receive()?.contains("\"x\"") == true)
        // A twentieth of a second or so; comparing every member with every other would take minutes.
        #expect(DispatchTime.now().uptimeNanoseconds - start < 30_000_000_000)
    }

    @Test("A message as long as the limit is served; one byte more is answered with an error and dropped")
    func longestMessage() throws {
        var limits = VarlinkLimits()
        limits.messageBytes = 10_000
        let test = try TestService(limits: limits)
        let frame = #"{"method":"io.ucopyd.test.Echo","parameters":{"text":""}}"#.utf8.count
        for (count, isAccepted) in [(10_000 - frame, true), (10_001 - frame, false)] {
            let socket = try test.connectRaw()
            let text = String(repeating: "x", count: count)
            try socket.send(#"{"method":"io.ucopyd.test.Echo","parameters":{"text":"\#(text)"}}"# + "\0")
            let reply = try #require(try socket.receive())
            #expect(reply.contains("InvalidParameter") == !isAccepted)
            if !isAccepted { #expect(try socket.receive() == nil) }
        }
    }

    @Test("An endless message is dropped when it passes the limit")
    func endlessMessage() throws {
        let test = try TestService()
        let socket = try test.connectRaw()
        let piece = Array(repeating: UInt8(ascii: "x"), count: 64 * 1024)[...]
        var sent = 0
        do throws(Errno) {
            while sent < 64 << 20 { sent += try SocketCalls.send(socket.descriptor, piece) ?? 0 }
        } catch {
            #expect(error == .brokenPipe || error == .connectionReset)
        }
        // The limit and what the kernel buffers.
        #expect(sent < 4 << 20)
        #expect(test.events.wait(for: Self.isDrop))
        try expectServing(test)
    }

    @Test("A message that is not finished in its time drops the connection, though its bytes keep coming")
    func halfMessage() throws {
        var limits = VarlinkLimits()
        limits.messageDuration = .milliseconds(200)
        let test = try TestService(limits: limits)
        let idle = try test.connect()
        let silent = try test.connectRaw()
        try silent.send("{\"method\":")
        #expect(try silent.receive() == nil)
        let slow = try test.connectRaw()
        let begin = DispatchTime.now()
        do throws(Errno) {
            // One byte at a time, as fast as the kernel lets both take turns.
            while DispatchTime.now() < begin + .seconds(20) {
                _ = try SocketCalls.send(slow.descriptor, [UInt8(ascii: " ")])
                var poll = pollfd(fd: slow.descriptor, events: 0, revents: 0)
                _ = Glibc.poll(&poll, 1, 1)
            }
            Issue.record("the slow peer was not dropped")
        } catch {
            #expect(error == .brokenPipe || error == .connectionReset)
        }
        // One that has begun nothing may stay.
        let reply: Text = try idle.call("io.ucopyd.test.Echo", Text(text: "idle"))
        #expect(reply.text == "idle")
    }

    @Test("Many short messages do not add up to one that takes too long")
    func steadyPeer() async throws {
        var limits = VarlinkLimits()
        limits.messageDuration = .seconds(5)
        let test = try TestService(limits: limits)
        let socket = try test.connectRaw()
        let call = #"{"method":"org.varlink.service.GetInfo"}"# + "\0"
        // On a thread of its own: a task that sleeps is woken when the other tests let go of the threads for tasks.
        let replies = try await withCheckedThrowingContinuation { continuation in
            Thread.detach { continuation.resume(with: Result { try Self.callSteadily(socket, call) }) }
        }
        #expect(replies.count > 1 && replies.allSatisfy { $0?.contains("vendor") == true })
    }

    /// Sends a call again and again for 7 seconds: there is always an unfinished message, and never an old one.
    private static func callSteadily(_ socket: RawSocket, _ call: String) throws -> [String?] {
        var replies: [String?] = []
        let begin = DispatchTime.now()
        try socket.send(String(call.prefix(10)))
        while DispatchTime.now() < begin + .seconds(7) {
            usleep(50_000)
            try socket.send(String(call.dropFirst(10)) + String(call.prefix(10)))
            replies.append(try socket.receive())
        }
        return replies
    }

    @Test("A peer that never reads is dropped, while another is served")
    func neverReading() throws {
        let test = try TestService()
        let socket = try test.connectRaw()
        try socket.send(#"{"method":"io.ucopyd.test.Flood","parameters":{"value":10000},"more":true}"# + "\0")
        try expectServing(test)
        #expect(test.events.wait(for: Self.isDrop))
        try expectServing(test)
        let pipelining = try test.connectRaw()
        let call =
            #"{"method":"org.varlink.service.GetInterfaceDescription","#
            + #""parameters":{"interface":"org.varlink.service"}}"# + "\0"
        do throws(Errno) {
            // A blocking send: it returns because the service goes on reading, or because it has dropped the connection.
            for _ in 0..<100_000 { _ = try SocketCalls.send(pipelining.descriptor, Array(call.utf8)[...]) }
            Issue.record("the pipelining peer was not dropped")
        } catch {
            #expect(error == .brokenPipe || error == .connectionReset)
        }
    }

    @Test("One reply longer than the output limit reaches a peer that reads")
    func longReply() throws {
        var limits = VarlinkLimits()
        limits.queuedOutputBytes = 1000
        let test = try TestService(
            limits: limits,
            methods: [
                "Forget": { call throws(VarlinkError) in
                    call.reply(Text(text: String(repeating: "x", count: 3_000_000)))
                }
            ])
        let reply: Text = try test.connect().call("io.ucopyd.test.Forget", Nothing())
        #expect(reply.text.utf8.count == 3_000_000)
    }

    @Test("Progress is held back while the peer does not read, and goes on when it does")
    func backPressure() throws {
        let calls = Collector<VarlinkCall>()
        let test = try TestService(methods: ["Park": { call throws(VarlinkError) in calls.add(call) }])
        let socket = try test.connectRaw()
        try socket.send(#"{"method":"io.ucopyd.test.Park","more":true}"# + "\0")
        #expect(calls.wait { _ in true })
        let call = try #require(calls.all.first)
        #expect(call.canSend)
        // More than the kernel buffers for one socket.
        call.reply(Text(text: String(repeating: "x", count: 4_000_000)), continues: true)
        #expect(!call.canSend)
        try expectServing(test)
        #expect(!call.canSend)
        #expect(try socket.receive()?.utf8.count ?? 0 > 4_000_000)
        call.reply()
        #expect(try socket.receive() == #"{"parameters":{}}"#)
        // The next call is served when the connection has noted what it sent.
        try socket.send(#"{"method":"io.ucopyd.test.Park"}"# + "\0")
        #expect(calls.wait(count: 2))
        #expect(call.canSend)
        for call in calls.all.dropFirst() { call.reply() }
    }

    private struct SplitMix: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var value = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
            return value ^ (value >> 31)
        }
    }
}
