import Dispatch
import FoundationEssentials
import Glibc
import Synchronization
import Testing

@testable import Varlink

@Suite("Calls")
struct CallTests {
    @Test("A call gets its reply")
    func roundTrip() throws {
        let test = try TestService()
        let text = "grüße \"\\/\u{1}\u{1F427}\n"
        let reply: Text = try test.connect().call("io.ucopyd.test.Echo", Text(text: text))
        #expect(reply == Text(text: text))
    }

    @Test("A message of many pieces arrives whole, both ways")
    func longMessage() throws {
        let test = try TestService()
        let text = Text(text: String(repeating: "0123456789", count: 20_000))
        let connection = try test.connect()
        for _ in 0..<3 { #expect(try connection.call("io.ucopyd.test.Echo", text) == text) }
    }

    @Test("Calls sent together are served in order, each after the one before has its reply")
    func pipelined() throws {
        let test = try TestService()
        let socket = try test.connectRaw()
        try socket.send(
            """
            {"method":"io.ucopyd.test.Park"}\0\
            {"method":"io.ucopyd.test.Echo","parameters":{"text":"a"}}\0\
            {"method":"io.ucopyd.test.Echo","parameters":{"text":"b"}}\0
            """)
        #expect(test.parked.wait { _ in true })
        // The connection's queue has read all three; what it dispatches it does before this runs.
        let other: Text = try test.connect().call("io.ucopyd.test.Echo", Text(text: "other"))
        #expect(other.text == "other")
        #expect(test.echoed.all == ["other"])
        test.parked.all.first?.reply()
        #expect(try socket.receive() == #"{"parameters":{}}"#)
        #expect(try socket.receive() == #"{"parameters":{"text":"a"}}"#)
        #expect(try socket.receive() == #"{"parameters":{"text":"b"}}"#)
    }

    @Test("A stream gives every reply in order, and the last one does not continue")
    func stream() throws {
        let test = try TestService()
        var replies: [(Int, Bool)] = []
        let connection = try test.connect()
        try connection.callMore("io.ucopyd.test.Count", Number(value: 5)) { (reply: Number, continues) in
            replies.append((reply.value, continues))
            return true
        }
        #expect(replies.map(\.0) == [1, 2, 3, 4, 5])
        #expect(replies.map(\.1) == [true, true, true, true, false])
        let after: Text = try connection.call("io.ucopyd.test.Echo", Text(text: "after"))
        #expect(after.text == "after")
    }

    @Test("A stream is refused to a call without more")
    func expectedMore() throws {
        let test = try TestService()
        let error = try #require(throws: VarlinkCallError.self) {
            let _: Number = try test.connect().call("io.ucopyd.test.Count", Number(value: 1))
        }
        #expect(error.replied == .expectedMore)
    }

    @Test("A handler's error arrives with its name and parameters")
    func errorReply() throws {
        let test = try TestService()
        let error = try #require(throws: VarlinkCallError.self) {
            let _: Nothing = try test.connect().call("io.ucopyd.test.Refuse", Nothing())
        }
        #expect(error.replied?.name == "io.ucopyd.test.Refused")
        #expect(error.replied?.decodeParameters(as: [String: String].self) == ["reason": "as asked"])
    }

    @Test(
        "What is not there is named in the standard error",
        arguments: [
            ("io.ucopyd.nowhere.Echo", VarlinkError.interfaceNotFound("io.ucopyd.nowhere")),
            ("io.ucopyd.test.Nothing", .methodNotFound("io.ucopyd.test.Nothing")),
            ("io.ucopyd.test.Missing", .methodNotImplemented("io.ucopyd.test.Missing")),
            ("Echo", .invalidParameter("method")),
            (".Echo", .invalidParameter("method")),
            ("io.ucopyd.test.", .invalidParameter("method")),
            ("", .invalidParameter("method")),
        ])
    func standardErrors(method: String, expected: VarlinkError) throws {
        let test = try TestService()
        let connection = try test.connect()
        let error = try #require(throws: VarlinkCallError.self) {
            let _: Nothing = try connection.call(method, Nothing())
        }
        #expect(error.replied == expected)
        let after: Text = try connection.call("io.ucopyd.test.Echo", Text(text: "after"))
        #expect(after.text == "after")
    }

    @Test(
        "A wrong parameter is named by its path",
        arguments: [
            ("Echo", "{}", "text"),
            ("Echo", #"{"text":1}"#, "text"),
            ("Echo", #"{"text":null}"#, "text"),
            ("Sizes", #"{"nested":{}}"#, "nested.list"),
            ("Sizes", #"{"nested":{"list":[{"size":1},{"size":"x"}]}}"#, "nested.list[1].size"),
            ("Sizes", #"{"nested":{"list":[{"size":1.5}]}}"#, "nested.list[0].size"),
            ("Sizes", #"{"nested":{"list":[{"size":99999999999999999999}]}}"#, "nested.list[0].size"),
        ])
    func invalidParameter(method: String, parameters: String, name: String) throws {
        let test = try TestService()
        let error = try #require(throws: VarlinkCallError.self) {
            try test.connect().callRaw("io.ucopyd.test.\(method)", json: Data(parameters.utf8))
        }
        #expect(error.replied == .invalidParameter(name))
    }

    @Test("A call that is let go without a reply fails instead of hanging, and is reported")
    func forgotten() throws {
        let test = try TestService()
        let error = try #require(throws: VarlinkCallError.self) {
            let _: Nothing = try test.connect().call("io.ucopyd.test.Forget", Nothing())
        }
        #expect(error.replied?.name == "io.ucopyd.test.InternalError")
        #expect(
            test.events.wait {
                if case .handlerFault("io.ucopyd.test.Forget", _) = $0 { true } else { false }
            })
    }

    @Test("A reply that is not an object fails the call, and a second final reply is reported and not sent")
    func handlerFaults() throws {
        let test = try TestService(methods: [
            "Forget": { call throws(VarlinkError) in call.reply([1, 2]) },
            "Refuse": { call throws(VarlinkError) in
                call.reply()
                call.reply(Text(text: "again"))
            },
        ])
        let connection = try test.connect()
        let error = try #require(throws: VarlinkCallError.self) {
            let _: Nothing = try connection.call("io.ucopyd.test.Forget", Nothing())
        }
        #expect(error.replied?.name == "io.ucopyd.test.InternalError")
        let _: Nothing = try connection.call("io.ucopyd.test.Refuse", Nothing())
        let after: Text = try connection.call("io.ucopyd.test.Echo", Text(text: "after"))
        #expect(after.text == "after")
        #expect(test.events.all.count == 2)
    }

    @Test("A oneway call is served and not answered, even when its sender has gone")
    func oneway() throws {
        let test = try TestService()
        let connection = try test.connect()
        try connection.callOneway("io.ucopyd.test.Echo", Text(text: "one"))
        try connection.callOneway("io.ucopyd.nowhere.Echo", Text(text: "lost"))
        let reply: Text = try connection.call("io.ucopyd.test.Echo", Text(text: "two"))
        #expect(reply.text == "two")
        do {
            let brief = try test.connect()
            for number in 0..<20 { try brief.callOneway("io.ucopyd.test.Echo", Text(text: "brief \(number)")) }
        }
        #expect(test.echoed.wait { $0 == "brief 19" })
        #expect(test.echoed.all == ["one", "two"] + (0..<20).map { "brief \($0)" })
    }

    @Test("A peer that ends its output still gets the replies to what it sent")
    func halfClosed() throws {
        let test = try TestService()
        let socket = try test.connectRaw()
        try socket.send(#"{"method":"io.ucopyd.test.Park"}"# + "\0")
        try socket.send(#"{"method":"io.ucopyd.test.Echo","parameters":{"text":"b"}}"# + "\0")
        try socket.endOutput()
        #expect(test.parked.wait { _ in true })
        test.parked.all.first?.reply()
        #expect(try socket.receive() == #"{"parameters":{}}"#)
        #expect(try socket.receive() == #"{"parameters":{"text":"b"}}"#)
        #expect(try socket.receive() == nil)
    }

    @Test("A service tells who it is and what its interfaces are")
    func introspection() throws {
        struct Info: Decodable {
            var vendor: String
            var interfaces: [String]
        }
        struct Description: Decodable { var description: String }
        let test = try TestService()
        let connection = try test.connect()
        let info: Info = try connection.call("org.varlink.service.GetInfo", Nothing())
        #expect(info.vendor == "ucopyd")
        #expect(info.interfaces == ["org.varlink.service", "io.ucopyd.test"])
        for name in info.interfaces {
            let reply: Description = try connection.call(
                "org.varlink.service.GetInterfaceDescription", ["interface": name])
            #expect(try InterfaceDescription(parsing: reply.description).name == name)
        }
        let error = try #require(throws: VarlinkCallError.self) {
            let _: Description = try connection.call(
                "org.varlink.service.GetInterfaceDescription", ["interface": "io.ucopyd.nowhere"])
        }
        #expect(error.replied == .interfaceNotFound("io.ucopyd.nowhere"))
    }
}

@Suite("Sessions")
struct SessionTests {
    @Test("A handler hears that its peer has gone, and the session's end comes after")
    func cancellation() throws {
        let order = Collector<String>()
        let test = try TestService(methods: [
            "Park": { call throws(VarlinkError) in
                call.connection.onClose { order.add("closed") }
                call.onCancel {
                    order.add("cancelled \(call.isCancelled)")
                    call.reply()
                }
                order.add("called")
            }
        ])
        do {
            let socket = try test.connectRaw()
            try socket.send(#"{"method":"io.ucopyd.test.Park","more":true}"# + "\0")
            #expect(order.wait { $0 == "called" })
        }
        #expect(order.wait { $0 == "closed" })
        #expect(order.all == ["called", "cancelled true", "closed"])
    }

    @Test("Letting go of a call whose peer has gone is no fault")
    func droppedAfterCancellation() throws {
        let gone = Signal()
        let calls = Mutex<[VarlinkCall]>([])
        let test = try TestService()
        do {
            let socket = try test.connectRaw()
            try socket.send(#"{"method":"io.ucopyd.test.Park"}"# + "\0")
            #expect(test.parked.wait { _ in true })
            calls.withLock { $0 = test.parked.removeAll() }
            calls.withLock { $0 }.first?.connection.onClose { gone.fire() }
        }
        #expect(gone.wait())
        calls.withLock { $0 = [] }
        #expect(test.shutDownAndWait())
        #expect(test.events.all.isEmpty)
    }

    @Test("A value attached to a session is there for its later calls, and let go at its end")
    func attachment() throws {
        final class Guest: Sendable {
            let left: Signal
            let visits = Mutex(0)
            init(_ left: Signal) { self.left = left }
            deinit { left.fire() }
        }
        let left = Signal()
        let test = try TestService(methods: [
            "Forget": { call throws(VarlinkError) in
                let guest = call.connection.attached(Guest.self) { Guest(left) }
                call.reply(
                    Number(
                        value: guest.visits.withLock {
                            $0 += 1; return $0
                        }))
            }
        ])
        do {
            let connection = try test.connect()
            for visit in 1...3 {
                #expect(try connection.call("io.ucopyd.test.Forget", Nothing()) == Number(value: visit))
            }
            #expect(try test.connect().call("io.ucopyd.test.Forget", Nothing()) == Number(value: 1))
        }
        #expect(left.wait())
        #expect(left.wait())
    }

    @Test("A call knows its peer")
    func peer() throws {
        let seen = Collector<PeerCredentials>()
        let test = try TestService(methods: [
            "Forget": { call throws(VarlinkError) in
                seen.add(call.peer)
                call.reply()
            }
        ])
        let _: Nothing = try test.connect().call("io.ucopyd.test.Forget", Nothing())
        #expect(seen.all == [PeerCredentials(processID: getpid(), userID: geteuid(), groupID: getegid())])
    }
}
