import BlockIO
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Targets

@Suite("A mapped device")
struct MappedControlTests {
    @Test("is active without a table, serves the first one that it resumes with, and tells what it is")
    func firstTable() throws {
        let bench = try DeviceBench()
        #expect(bench.device.info.tables == "None" && bench.device.info.state == "ACTIVE")
        let target = bench.target("a", sectors: 64)
        #expect(try bench.load(bench.table(target)).isSuccess)
        #expect(bench.device.info.tables == "INACTIVE" && bench.device.info.targetCount == 0)
        #expect(bench.device.table(.inactive).map(\.description) == ["0 64 held a 1"])
        #expect(bench.device.table().isEmpty && bench.device.sectors == 0)
        #expect(Outcome { bench.device.resume($0) }.isSuccess)
        #expect(bench.log.calls == ["a preresume", "a resume"])
        #expect(bench.device.info.tables == "LIVE" && bench.device.info.targetCount == 1)
        #expect(bench.device.status().map(\.description) == ["0 64 held 0"])
        #expect(bench.device.status()[0].details == [TargetDetail("held", .number(0))])
        #expect(bench.device.sectors == 64 && bench.device.info.sectors == 64)
    }

    @Test("suspends when nothing is under way any more, and serves what has waited in its order")
    func suspension() throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 64)
        bench.activate(try bench.table(target))
        let before = bench.submit(.write, 0, 8, data: Bytes.random(4096, seed: 1))
        let suspend = Outcome { bench.device.suspend($0) }
        #expect(bench.log.calls == ["a presuspend"])
        let waiting = (1..<4).map { bench.submit(.read, UInt64($0) * 8, 8) }
        let flush = bench.submit(.flush)
        #expect(target.held.count == 1 && suspend.isPending && !bench.device.isSuspended)
        target.end()
        #expect(before.ends == [0])
        #expect(target.held.map(\.operation) == [.flush])
        #expect(suspend.isPending)
        target.end()
        #expect(suspend.isSuccess && bench.device.info.state == "SUSPENDED")
        #expect(bench.log.calls == ["a presuspend", "a flush", "a postsuspend"])
        #expect(target.held.isEmpty)
        #expect(Outcome { bench.device.suspend($0) }.isSuccess)
        #expect(Outcome { bench.device.resume($0) }.isSuccess)
        #expect(target.held.map(\.sector) == [8, 16, 24, 0])
        #expect(target.held.map(\.operation) == [.read, .read, .read, .flush])
        target.endAll()
        #expect(waiting.map(\.ends) == [[0], [0], [0]] && flush.ends == [0])
    }

    @Test("suspends without a flush where that is asked for")
    func noflush() throws {
        let bench = try DeviceBench()
        bench.activate(try bench.table(bench.target("a", sectors: 64)))
        #expect(Outcome { bench.device.suspend(noflush: true, $0) }.isSuccess)
        #expect(bench.log.calls == ["a presuspend", "a postsuspend"])
    }

    @Test("waits for targets that take their time to suspend")
    func slowTargets() throws {
        let bench = try DeviceBench()
        let first = bench.target("a", sectors: 8)
        let second = bench.target("b", sectors: 8, start: 8)
        first.isSlow = true
        bench.activate(try bench.table(first, second))
        let suspend = Outcome { bench.device.suspend(noflush: true, $0) }
        #expect(suspend.isPending)
        first.go()
        #expect(suspend.isSuccess)
        #expect(bench.log.calls == ["a presuspend", "b presuspend", "a postsuspend", "b postsuspend"])
    }

    @Test("tells of a flush that failed while it suspended, and suspends all the same")
    func failedFlush() throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 8)
        bench.activate(try bench.table(target))
        var events: [MappedDeviceEvent] = []
        _ = bench.device.observe { events.append($0) }
        let suspend = Outcome { bench.device.suspend($0) }
        target.errno = EIO
        target.end()
        #expect(suspend.isSuccess)
        #expect(events == [.flushFailed(errno: EIO), .suspended])
    }

    @Test("hands out again what a target gave back, cut for the table that is live then")
    func requeue() throws {
        let bench = try DeviceBench()
        let old = bench.target("old", sectors: 64)
        old.abilities.boundary = 32
        old.givesBack = true
        bench.activate(try bench.table(old))
        let data = Bytes.random(64 * 512, seed: 4)
        let whole = bench.submit(.write, 0, 16, data: Array(data[..<(16 * 512)]))
        let split = bench.submit(.write, 16, 48, data: Array(data[(16 * 512)...]))
        let flush = bench.submit(.flush)
        #expect(old.held.count == 4)
        // One part of the second has ended before.
        old.end(1)
        let next = bench.target("next", sectors: 64)
        next.abilities.boundary = 8
        #expect(try bench.load(bench.table(next)).isSuccess)
        let resume = Outcome { bench.device.resume(noflush: true, $0) }
        #expect(resume.isSuccess && old.held.isEmpty)
        #expect(next.held.map(\.sector) == [0, 8, 32, 40, 48, 56, 0])
        #expect(next.held.last?.operation == .flush)
        #expect(whole.ends.isEmpty && split.ends.isEmpty)
        next.endAll()
        #expect(whole.ends == [0] && split.ends == [0] && flush.ends == [0])
        let there = Bytes.replacing(data, sector: 16, count: 16, from: nil)
        #expect(Bytes.difference(next.content, there) == nil)
        #expect(Bytes.agree(old.content, data, in: (16 * 512)..<(32 * 512)))
    }

    @Test("goes on with a long request where a suspension has interrupted it")
    func stalled() throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 256)
        target.abilities.boundary = 1
        bench.activate(try bench.table(target))
        let data = Bytes.random(256 * 512, seed: 5)
        let write = bench.submit(.write, 0, 256, data: data)
        let suspend = Outcome { bench.device.suspend(noflush: true, $0) }
        target.endAll()
        #expect(suspend.isSuccess && write.ends.isEmpty)
        #expect(Bytes.agree(target.content, data, in: 0..<(RequestRouter.window * 512)))
        #expect(target.content[(RequestRouter.window * 512)...].allSatisfy { $0 == 0 })
        #expect(Outcome { bench.device.resume($0) }.isSuccess)
        target.endAll()
        #expect(write.ends == [0] && target.content == data)
    }

    @Test("keeps the flush behind zeroes that are to be durable until it serves again")
    func stalledFlush() throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 64)
        target.abilities.canWriteZeroes = true
        bench.activate(try bench.table(target))
        let zeroes = bench.submit(.writeZeroes, 0, 8, isFUA: true)
        let suspend = Outcome { bench.device.suspend(noflush: true, $0) }
        target.end()
        #expect(suspend.isSuccess && zeroes.ends.isEmpty && target.held.isEmpty)
        #expect(Outcome { bench.device.resume($0) }.isSuccess)
        #expect(target.held.map(\.operation) == [.flush])
        target.end()
        #expect(zeroes.ends == [0])
    }

    @Test("ends with an error what lies behind the end of a smaller table")
    func shrinks() throws {
        let bench = try DeviceBench()
        bench.activate(try bench.table(bench.target("a", sectors: 64)))
        #expect(Outcome { bench.device.suspend(noflush: true, $0) }.isSuccess)
        let inside = bench.submit(.read, 0, 8)
        let behind = bench.submit(.read, 32, 8)
        let small = bench.target("small", sectors: 16)
        var events: [MappedDeviceEvent] = []
        _ = bench.device.observe { events.append($0) }
        bench.activate(try bench.table(small))
        small.end()
        #expect(inside.ends == [0] && behind.ends == [EIO])
        #expect(events.contains(.resized(from: 64, to: 16)))
    }

    @Test("puts a new table into the place of the old one in the kernel's order")
    func swap() throws {
        let bench = try DeviceBench()
        let old = bench.target("old", sectors: 64)
        bench.activate(try bench.table(old))
        let next = bench.target("next", sectors: 64)
        #expect(try bench.load(bench.table(next)).isSuccess)
        #expect(bench.device.info.tables == "LIVE & INACTIVE")
        let under = bench.submit(.read, 0, 8)
        old.isSlow = true
        let resume = Outcome { bench.device.resume(noflush: true, $0) }
        old.go()
        #expect(resume.isPending)
        let after = bench.submit(.read, 8, 8)
        old.end()
        #expect(under.ends == [0])
        #expect(
            bench.log.calls == [
                "old presuspend", "old postsuspend", "next preresume", "next resume", "old destroy",
            ])
        // The new table serves while the old one is still being destroyed.
        #expect(resume.isPending && next.held.count == 1)
        next.end()
        #expect(after.ends == [0])
        old.go()
        #expect(resume.isSuccess)
    }

    @Test("goes on with the old table where the new one refuses")
    func veto() throws {
        let bench = try DeviceBench()
        let old = bench.target("old", sectors: 64)
        old.isPrompt = true
        bench.activate(try bench.table(old))
        let next = bench.target("next", sectors: 32)
        next.refusal = TargetError("next", "resume", .invalidArgument, "it does not want to")
        #expect(try bench.load(bench.table(next)).isSuccess)
        let resume = Outcome { bench.device.resume(noflush: true, $0) }
        #expect(resume.error?.description == "next: resume: it does not want to")
        #expect(
            bench.log.calls == ["old presuspend", "old postsuspend", "next preresume", "old preresume", "old resume"])
        #expect(bench.device.info.state == "ACTIVE" && bench.device.info.tables == "LIVE & INACTIVE")
        #expect(bench.device.sectors == 64)
        #expect(bench.submit(.read, 0, 8).ends == [0])
        next.refusal = nil
        #expect(Outcome { bench.device.resume(noflush: true, $0) }.isSuccess)
        #expect(bench.device.sectors == 32)
    }

    @Test("stays suspended where neither table resumes, until one does")
    func twoVetoes() throws {
        let bench = try DeviceBench()
        let old = bench.target("old", sectors: 64)
        bench.activate(try bench.table(old))
        let next = bench.target("next", sectors: 64)
        next.refusal = TargetError("next", "resume", .invalidArgument, "no")
        old.refusal = TargetError("old", "resume", .invalidArgument, "never")
        #expect(try bench.load(bench.table(next)).isSuccess)
        let resume = Outcome { bench.device.resume(noflush: true, $0) }
        #expect(
            resume.error?.description == "next: resume: no; the device stays suspended: old: resume: never")
        #expect(bench.device.isSuspended)
        let waiting = bench.submit(.read, 0, 8)
        #expect(Outcome { bench.device.clear($0) }.isSuccess)
        #expect(Outcome { bench.device.resume($0) }.error?.reason == "never")
        old.refusal = nil
        #expect(Outcome { bench.device.resume($0) }.isSuccess)
        old.end()
        #expect(waiting.ends == [0])
    }

    @Test("suspended without a table resumes only with one")
    func suspendedWithoutTable() throws {
        let bench = try DeviceBench()
        #expect(Outcome { bench.device.resume($0) }.isSuccess)
        #expect(Outcome { bench.device.suspend($0) }.isSuccess)
        let resume = Outcome { bench.device.resume($0) }
        #expect(resume.error?.errno == .invalidArgument)
        #expect(resume.error?.description == "device \"bench\": resume: it has no table")
        bench.activate(try bench.table(bench.target("a", sectors: 8)))
        #expect(bench.device.info.state == "ACTIVE")
    }

    @Test("destroys a table that another one replaces in the inactive slot, and one that is cleared")
    func inactive() throws {
        let bench = try DeviceBench()
        let first = bench.target("first", sectors: 8)
        #expect(try bench.load(bench.table(first)).isSuccess)
        #expect(try bench.load(bench.table(bench.target("second", sectors: 8))).isSuccess)
        #expect(bench.log.calls == ["first destroy"])
        #expect(Outcome { bench.device.clear($0) }.isSuccess)
        #expect(bench.log.calls == ["first destroy", "second destroy"])
        #expect(bench.device.info.tables == "None")
        #expect(Outcome { bench.device.clear($0) }.isSuccess)
    }

    @Test("does one operation at a time, in the order of the calls, and calls back once for each")
    func serialised() throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 64)
        target.isSlow = true
        bench.activate(try bench.table(target))
        let under = bench.submit(.read, 0, 8)
        let suspend = Outcome { bench.device.suspend(noflush: true, $0) }
        let again = Outcome { bench.device.suspend(noflush: true, $0) }
        let next = bench.target("next", sectors: 64)
        let load = try bench.load(bench.table(next))
        let resume = Outcome { bench.device.resume($0) }
        let remove = Outcome { bench.device.remove($0) }
        let late = bench.target("late", sectors: 8)
        let tooLate = try bench.load(bench.table(late))
        #expect([suspend, again, load, resume, remove, tooLate].map(\.isPending) == Array(repeating: true, count: 6))
        target.end()
        #expect(under.ends == [0])
        target.go()
        // The old table is still being destroyed.
        #expect(suspend.isSuccess && again.isSuccess && load.isSuccess && resume.isPending && remove.isPending)
        target.go()
        #expect(resume.isSuccess && remove.isSuccess)
        #expect(tooLate.error?.errno == .noSuchAddressOrDevice)
        #expect(
            bench.log.calls == [
                "a presuspend", "a postsuspend", "next preresume", "next resume", "a destroy", "next presuspend",
                "next postsuspend", "next destroy", "late destroy",
            ])
    }

    @Test("can be given operations by those who are told of an end")
    func reentrancy() throws {
        let bench = try DeviceBench()
        bench.activate(try bench.table(bench.target("a", sectors: 64)))
        var order: [String] = []
        bench.device.suspend(noflush: true) { _ in
            order.append("suspended")
            bench.device.resume { _ in order.append("resumed") }
            order.append("asked")
        }
        #expect(order == ["suspended", "asked", "resumed"])
        // A request whose end suspends the device while those that waited are handed out.
        let target = bench.target("b", sectors: 64)
        target.isPrompt = true
        #expect(Outcome { bench.device.suspend(noflush: true, $0) }.isSuccess)
        let first = bench.request(.read, 0, 8)
        var suspend: Outcome?
        first.request.ended = { _ in suspend = Outcome { bench.device.suspend(noflush: true, $0) } }
        bench.device.handle(first.request)
        let second = bench.submit(.read, 8, 8)
        bench.activate(try bench.table(target))
        #expect(suspend?.isSuccess == true)
        // The suspension waits for the operation that was under way, and so the second was served before it.
        #expect(second.ends == [0] && bench.device.isSuspended)
    }
}
