import Glibc
import Testing
import UnixSockets

@testable import Varlink

@Suite("Connection limits")
struct ConnectionLimitTests {
    @Test("Thousands of connections are open at once and each is served")
    func manyConnections() throws {
        // Two descriptors a connection; a thousand stay for the tests that run at the same time.
        let count = min(2000, max(try raiseDescriptorLimit() - 1000, 100) / 2)
        var limits = VarlinkLimits()
        limits.connectionsPerProcess = count
        let test = try TestService(limits: limits)
        let connections = try (0..<count).map { _ in try test.connect() }
        for (number, connection) in connections.enumerated() {
            let text = Text(text: "\(number)")
            #expect(try connection.call("io.ucopyd.test.Echo", text) == text)
        }
        #expect(test.service.connectionCount == count)
        // One more is refused, and with one less there is room again.
        let surplus = try test.connectRaw()
        #expect(try surplus.receive() == nil)
        #expect(test.events.wait { if case .refused = $0 { true } else { false } })
    }

    @Test("A connection that has ended makes room for another", arguments: [true, false])
    func roomAgain(perProcess: Bool) throws {
        var limits = VarlinkLimits()
        if perProcess { limits.connectionsPerProcess = 2 } else { limits.connections = 2 }
        let test = try TestService(limits: limits)
        for round in 1...20 {
            let ended = Signal()
            let first = try test.connect()
            let _: Text = try first.call("io.ucopyd.test.Echo", Text(text: "first"))
            do {
                let second = try test.connectRaw()
                try second.send(#"{"method":"io.ucopyd.test.Park"}"# + "\0")
                #expect(test.parked.wait(count: round))
                let surplus = try test.connectRaw()
                #expect(try surplus.receive() == nil)
                test.parked.all.last?.connection.onClose { ended.fire() }
            }
            #expect(ended.wait())
            first.shutdown()
            while test.service.connectionCount > 0 { sched_yield() }
        }
    }

    @Test("Out of descriptors, a service sheds connections without going in circles, and recovers")
    func outOfDescriptors() async {
        // In a process of its own: the shortage is the whole process's.
        await #expect(processExitsWith: .success) {
            // Where a process may have a thousand million descriptors, using them up takes too long.
            var limit = rlimit(rlim_cur: 500, rlim_max: 500)
            guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { exit(4) }
            let test = try TestService()
            let before = try test.connect()
            let _: Text = try before.call("io.ucopyd.test.Echo", Text(text: "before"))
            let victim = try SocketCalls.makeSocket(nonblocking: false)
            var fillers: [CInt] = []
            while true {
                let filler = dup(victim)
                if filler < 0 { break }
                fillers.append(filler)
            }
            try SocketCalls.connect(victim, to: test.folder.socket)
            var byte: UInt8 = 0
            while case let count = recv(victim, &byte, 1, 0), count != 0 { if errno != EINTR { exit(2) } }
            let _: Text = try before.call("io.ucopyd.test.Echo", Text(text: "during"))
            guard test.events.all.count <= 2 else { exit(3) }
            fillers.forEach(SocketCalls.close)
            let _: Text = try test.connect().call("io.ucopyd.test.Echo", Text(text: "after"))
        }
    }
}
