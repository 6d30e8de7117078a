import BlockIO
import Glibc
import SystemPackage
import Testing

@testable import Targets

@Suite("Removing a mapped device")
struct MappedRemovalTests {
    @Test("ends both tables, those who wait for an event, and whatever still comes")
    func removal() throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 64)
        bench.activate(try bench.table(target))
        #expect(try bench.load(bench.table(bench.target("b", sectors: 8))).isSuccess)
        let under = bench.submit(.write, 0, 8)
        var events: [MappedDeviceEvent] = []
        var woken: [UInt32] = []
        _ = bench.device.observe { events.append($0) }
        bench.device.wait(for: 0) { woken.append($0) }
        let remove = Outcome { bench.device.remove($0) }
        #expect(remove.isPending)
        let late = bench.submit(.read, 0, 8)
        target.end()
        #expect(under.ends == [0] && late.ends == [EIO])
        #expect(remove.isSuccess && events == [.removed] && woken == [1])
        #expect(bench.log.calls == ["a presuspend", "a postsuspend", "a destroy", "b destroy"])
        #expect(bench.submit(.read, 0, 8).ends == [EIO])
        let again = Outcome { bench.device.remove($0) }
        #expect(again.error?.description == "device \"bench\": remove: it has been removed")
        #expect(throws: TargetError.self) { try bench.device.rename(to: "other") }
        #expect(throws: TargetError.self) { try bench.device.message(sector: 0, ["x"]) }
    }

    @Test("that is suspended ends the requests that wait")
    func suspended() throws {
        let bench = try DeviceBench()
        bench.activate(try bench.table(bench.target("a", sectors: 64)))
        #expect(Outcome { bench.device.suspend(noflush: true, $0) }.isSuccess)
        let waiting = bench.submit(.read, 0, 8)
        #expect(Outcome { bench.device.remove($0) }.isSuccess)
        #expect(waiting.ends == [EIO])
    }

    @Test("is refused while somebody uses it, and done as soon as nobody does where that was asked for")
    func open() throws {
        let bench = try DeviceBench()
        bench.activate(try bench.table(bench.target("a", sectors: 64)))
        bench.device.opened()
        bench.device.opened()
        let refused = Outcome { bench.device.remove($0) }
        #expect(refused.error?.errno == .resourceBusy)
        #expect(refused.error?.description == "device \"bench\": remove: 2 use it")
        #expect(bench.device.info.openCount == 2 && bench.log.calls.isEmpty)
        #expect(Outcome { bench.device.remove(deferred: true, $0) }.isSuccess)
        #expect(bench.device.info.isRemovalDeferred && !bench.device.isRemoved)
        bench.device.closed()
        #expect(!bench.device.isRemoved)
        bench.device.closed()
        #expect(bench.device.isRemoved)
    }

    @Test("that was deferred can be called off by a message")
    func cancelled() throws {
        let bench = try DeviceBench()
        bench.device.opened()
        #expect(Outcome { bench.device.remove(deferred: true, $0) }.isSuccess)
        #expect(try bench.device.message(sector: 0, ["@cancel_deferred_remove"]) == "")
        bench.device.closed()
        #expect(!bench.device.isRemoved)
    }

    @Test("by force fails what is under way where a target holds it, and all that comes, until nobody uses it")
    func force() throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 64)
        target.givesBack = true
        bench.activate(try bench.table(target))
        #expect(try bench.load(bench.table(bench.target("b", sectors: 8))).isSuccess)
        bench.device.opened()
        let held = bench.submit(.read, 0, 8)
        let refused = Outcome { bench.device.remove(force: true, $0) }
        #expect(refused.error?.errno == .resourceBusy)
        #expect(refused.error?.reason == "somebody uses it")
        #expect(held.ends == [EIO])
        #expect(bench.device.table().map(\.description) == ["0 64 error "])
        #expect(bench.device.info.tables == "LIVE")
        #expect(bench.log.calls == ["b destroy", "a presuspend", "a postsuspend", "a destroy"])
        #expect(bench.submit(.write, 0, 8).ends == [EIO])
        bench.device.closed()
        #expect(Outcome { bench.device.remove(force: true, $0) }.isSuccess)
    }

    @Test("follows the end of a snapshot that its full store has detached, as soon as nobody uses it")
    func detached() throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 64)
        bench.activate(try bench.table(target))
        bench.device.opened()
        target.onEvent?(TargetEvent(.detached, "the store is full"))
        bench.environment.run()
        #expect(bench.device.info.isRemovalDeferred)
        bench.device.closed()
        #expect(bench.device.isRemoved)
    }
}
