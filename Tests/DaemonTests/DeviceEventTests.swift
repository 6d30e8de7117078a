import ControlAPI
import Dispatch
import Glibc
import SystemPackage
import Testing
import Varlink

@testable import Daemon

extension DaemonTests {
    /// What the daemon tells of its mapped devices, and to whom.
    @Suite struct DeviceEventTests {
        typealias Event = TargetInterface.Event

        /// Follows the events of a daemon in the background.
        private final class Follower: Sendable {
            let events = Box<[Event]>([])
            private let ready = DispatchSemaphore(value: 0)
            private let ended = DispatchSemaphore(value: 0)

            /// Returns when nothing is missed any more.
            init(_ daemon: TestDaemon, _ device: String? = nil) throws {
                let connection = try daemon.connect()
                Thread.run { [self] in
                    // How the stream ends is looked at by whoever waits for that.
                    try? connection.varlink.callMore(
                        TargetInterface.Events.method, TargetInterface.Events.Parameters(device: device)
                    ) { (reply: TargetInterface.Events.Reply, _) in
                        if let event = reply.event { events.change { $0.append(event) } } else { ready.signal() }
                        return true
                    }
                    ended.signal()
                }
                ready.wait()
            }

            func waitForEnd() { ended.wait() }
            var kinds: [TargetInterface.EventKind] { events.get().map(\.kind) }
        }

        @Test func everythingThatIsDoneToADeviceIsToldInOrder() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            let all = try Follower(daemon)
            try control.create("d", "0 8 zero")
            let one = try Follower(daemon, "d")
            try control.create("other", "0 8 zero")
            try control.load("d", "0 16 zero")
            try control.clear("d")
            try control.suspend("d")
            try control.suspend("d")
            try control.resume("d")
            try control.rename("d", to: "e")
            try control.remove("e")
            one.waitForEnd()
            #expect(one.kinds == [.loaded, .cleared, .suspended, .resumed, .renamed, .removed])
            #expect(one.events.get().map(\.device) == ["d", "d", "d", "d", "e", "e"])
            #expect(one.events.get().map(\.eventNumber) == [0, 0, 0, 0, 1, 2])
            #expect(daemon.stop() == 0)
            all.waitForEnd()
            #expect(
                all.kinds == [
                    .created, .created, .loaded, .cleared, .suspended, .resumed, .renamed, .removed, .removed,
                ])
            let numbers = all.events.get().map(\.number)
            #expect(numbers == Array(1...9))
            let times = all.events.get().map(\.time)
            #expect(times == times.sorted() && (times.first ?? 0) > 1.7e9)
        }

        @Test func theEndOfASnapshotIsToldToo() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            let origin = try daemon.directory.image("origin", sectors: 64)
            for round in 0..<8 {
                let store = try daemon.directory.image("store\(round)", sectors: 128)
                try control.create("s", "0 64 snapshot \(origin.string) \(store.string) P 8")
                let follower = try Follower(daemon, "s")
                try control.remove("s")
                follower.waitForEnd()
                #expect(follower.kinds == [.removed])
            }
            #expect(daemon.stop() == 0)
        }

        @Test func aWaitEndsWhenTheEventNumberIsAnother() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            try control.create("d", "0 8 zero")
            let waiting = try daemon.connect()
            let reply = Box<TargetInterface.Wait.Reply?>(nil)
            let done = DispatchSemaphore(value: 0)
            Thread.run {
                reply.set(try? waiting.callWait("d", eventNumber: 0))
                done.signal()
            }
            // It is not content with what does not count.
            try control.suspend("d")
            try control.rename("d", to: "e")
            done.wait()
            #expect(reply.get()?.eventNumber == 1)
            // What has happened already is not waited for, whatever number was known.
            #expect(try control.callWait("e")?.eventNumber == 1)
            #expect(try control.callWait("e", eventNumber: 5)?.eventNumber == 1)
            #expect(daemon.stop() == 0)
        }

        @Test func aWaitForAKindIsContentWithOneSinceTheLastTable() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            try control.create("d", "0 8 zero")
            try control.suspend("d")
            let reply = try control.callWait("d", until: [.suspended, .invalidated])
            #expect(reply?.event?.kind == .suspended && reply?.eventNumber == 0)
            try control.load("d", "0 8 error")
            let waiting = try daemon.connect()
            var kinds: [TargetInterface.EventKind] = []
            // With more, all that happens meanwhile is told; the first event is the cue for what is waited for.
            let watcher = try daemon.connect()
            try watcher.varlink.callMore(
                TargetInterface.Events.method, TargetInterface.Events.Parameters(device: "d")
            ) { (reply: TargetInterface.Events.Reply, _) in
                guard let event = reply.event else {
                    #expect(throws: Never.self) { try control.resume("d") }
                    return true
                }
                kinds.append(event.kind)
                return false
            }
            #expect(kinds == [.resumed])
            #expect(try waiting.callWait("d", until: [.resumed])?.event?.kind == .resumed)
            #expect(daemon.stop() == 0)
        }

        @Test func waitsEndWithTheirDeviceAndWithTheDaemon() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            try control.create("d", "0 8 zero")
            try control.create("e", "0 8 zero")
            let results = Box<[String: TargetInterface.Failure?]>([:])
            let done = DispatchSemaphore(value: 0)
            for name in ["d", "e"] {
                let waiting = try daemon.connect()
                Thread.run {
                    let failure = targetFailure {
                        _ = try waiting.call(TargetInterface.Wait.self, .init(device: name, until: [.mergeFinished]))
                    }
                    results.change { $0[name] = failure }
                    done.signal()
                }
            }
            try control.remove("d")
            done.wait()
            #expect(results.get()["d"] == .noSuchDevice(device: "d"))
            // The daemon's end removes its devices.
            #expect(daemon.stop() == 0)
            done.wait()
            #expect(results.get()["e"] == .noSuchDevice(device: "e"))
        }

        @Test func eventsAreForCallsWithMoreOnly() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            #expect(throws: (any Error).self) {
                _ = try control.call(TargetInterface.Events.self, .init())
            }
            #expect(throws: (any Error).self) {
                _ = try control.call(TargetInterface.Wait.self, .init(device: "d", eventNumber: -1))
            }
            #expect(daemon.stop() == 0)
        }
    }
}

/// Something done beside the test.
enum Thread {
    static func run(_ body: @escaping @Sendable () -> Void) {
        DispatchQueue(label: "test").async(execute: body)
    }
}
