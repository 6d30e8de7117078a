import Dispatch
import FoundationEssentials
import Glibc
import SystemPackage
import Testing
import UnixSockets

@testable import Varlink

/// Runs blocking work on a thread of its own.
enum Thread {
    static func detach(_ body: @escaping @Sendable () -> Void) {
        DispatchQueue(label: "test.thread").async(execute: body)
    }
}

/// Accepts one connection, reads a call, sends `reply` as it is, and closes.
private func serveOnce(_ folder: TemporaryFolder, reply: [UInt8]) throws {
    let listener = try SocketCalls.makeSocket(nonblocking: false)
    try SocketCalls.bind(listener, to: folder.socket)
    try #require(listen(listener, 1) == 0)
    Thread.detach {
        defer { SocketCalls.close(listener) }
        // Closed on exec: a program that another test starts would keep the connection from ending.
        guard let connection = try? SocketCalls.accept(listener), fcntl(connection, F_SETFL, 0) == 0 else { return }
        var byte: UInt8 = 1
        while byte != 0, recv(connection, &byte, 1, 0) == 1 {}
        // The client may have gone: that is what some of these replies are for.
        _ = try? SocketCalls.send(connection, reply[...])
        SocketCalls.close(connection)
    }
}

@Suite("The client")
struct ClientTests {
    @Test("A blocked call fails when another thread shuts the connection down")
    func shutdownFromAnotherThread() throws {
        let test = try TestService()
        let connection = try test.connect()
        let failed = Collector<VarlinkConnectionError.Code?>()
        Thread.detach {
            do throws(VarlinkCallError) {
                let _: Nothing = try connection.call("io.ucopyd.test.Park", Nothing())
                failed.add(nil)
            } catch {
                failed.add(error.failed?.code)
            }
        }
        #expect(test.parked.wait { _ in true })
        connection.shutdown()
        #expect(failed.wait { _ in true })
        #expect(failed.all == [.shutDown])
        let error = try #require(throws: VarlinkCallError.self) {
            let _: Nothing = try connection.call("io.ucopyd.test.Echo", Text(text: "x"))
        }
        #expect(error.failed?.code == .shutDown)
    }

    @Test("Leaving a stream early ends the connection and cancels the call")
    func leaveStream() throws {
        let cancelled = Signal()
        let test = try TestService(methods: [
            "Park": { call throws(VarlinkError) in
                call.onCancel {
                    call.reply()
                    cancelled.fire()
                }
                call.reply(Number(value: 1), continues: true)
            }
        ])
        let connection = try test.connect()
        var count = 0
        try connection.callMore("io.ucopyd.test.Park", Nothing()) { (_: Number, _) in
            count += 1
            return false
        }
        #expect(count == 1)
        #expect(cancelled.wait())
    }

    @Test("An error ends a stream after the replies before it")
    func streamError() throws {
        let test = try TestService(methods: [
            "Park": { call throws(VarlinkError) in
                call.reply(Number(value: 1), continues: true)
                throw VarlinkError("io.ucopyd.test.Refused", ["reason": "later"])
            }
        ])
        var values: [Int] = []
        let error = try #require(throws: VarlinkCallError.self) {
            try test.connect().callMore("io.ucopyd.test.Park", Nothing()) { (reply: Number, _) in
                values.append(reply.value)
                return true
            }
        }
        #expect(values == [1])
        #expect(error.replied?.name == "io.ucopyd.test.Refused")
    }

    @Test("Raw JSON goes out and comes in as it is")
    func raw() throws {
        let test = try TestService()
        let json = Data("{ \"text\" :\n \"x\" }".utf8)
        let reply = try test.connect().callRaw("io.ucopyd.test.Echo", json: json)
        #expect(String(decoding: reply, as: UTF8.self) == #"{"text":"x"}"#)
        for bad in ["", "[]", "{", "{}\0{}", "{} {}"] {
            let error = try #require(throws: VarlinkCallError.self) {
                try test.connect().callRaw("io.ucopyd.test.Echo", json: Data(bad.utf8))
            }
            #expect(error.failed?.code == .protocolViolation)
        }
    }

    @Test(
        "A service that does not keep to the protocol is reported, not believed",
        arguments: [
            ("garbage\0", VarlinkConnectionError.Code.protocolViolation), ("", .closed),
            ("{\"parameters\":{}", .closed),
            ("{\"parameters\":[]}\0", .protocolViolation),
            ("{\"parameters\":{},\"continues\":true}\0", .protocolViolation),
            ("{\"parameters\":{\"text\":1}}\0", .protocolViolation),
            (String(repeating: "[", count: 100_000) + "\0", .protocolViolation),
        ])
    func brokenService(reply: String, code: VarlinkConnectionError.Code) throws {
        let folder = try TemporaryFolder()
        try serveOnce(folder, reply: Array(reply.utf8))
        let connection = try VarlinkConnection(path: folder.socket)
        let error = try #require(throws: VarlinkCallError.self) {
            let _: Text = try connection.call("io.ucopyd.test.Echo", Text(text: "x"))
        }
        #expect(error.failed?.code == code)
        #expect(error.description.contains(folder.socket.string))
    }

    @Test("A reply longer than the client allows is refused")
    func replyLimit() throws {
        let test = try TestService()
        let connection = try VarlinkConnection(path: test.folder.socket, replyLimit: 100_000)
        let error = try #require(throws: VarlinkCallError.self) {
            let _: Text = try connection.call(
                "io.ucopyd.test.Echo", Text(text: String(repeating: "x", count: 200_000)))
        }
        #expect(error.failed?.code == .protocolViolation)
    }

    @Test("A client that sends too much reads the service's reason")
    func reasonForRefusal() throws {
        let test = try TestService()
        let error = try #require(throws: VarlinkCallError.self) {
            let _: Text = try test.connect().call(
                "io.ucopyd.test.Echo", Text(text: String(repeating: "x", count: 3_000_000)))
        }
        #expect(error.replied == .invalidParameter("message"))
    }

    @Test("A oneway call to a service that has gone fails")
    func onewayToNobody() throws {
        let test = try TestService()
        let connection = try test.connect()
        let _: Text = try connection.call("io.ucopyd.test.Echo", Text(text: "x"))
        #expect(test.shutDownAndWait())
        let error = try #require(throws: VarlinkCallError.self) {
            try connection.callOneway("io.ucopyd.test.Echo", Text(text: "y"))
        }
        #expect(error.failed?.code == .closed)
    }

    @Test("Calls from several threads share a connection without mixing their replies")
    func threads() throws {
        let test = try TestService()
        let connection = try test.connect()
        let wrong = Collector<String>()
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            for number in 0..<100 {
                let text = Text(text: "\(thread) \(number)")
                let reply: Text? = try? connection.call("io.ucopyd.test.Echo", text)
                if reply != text { wrong.add(text.text) }
            }
        }
        #expect(wrong.all == [])
    }
}
