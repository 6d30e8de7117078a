import BlockIO
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Targets

@Suite("Requests of a mapped device")
struct MappedRequestTests {
    @Test("that fit into a target reach it as they are, and end with what it says")
    func whole() throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 64)
        bench.activate(try bench.table(target))
        let data = Bytes.random(4096, seed: 1)
        let write = bench.submit(.write, 8, 8, data: data, isFUA: true)
        #expect(target.held.count == 1)
        #expect(target.held[0].range == SectorRange(start: 8, count: 8) && target.held[0].isFUA)
        #expect(write.ends.isEmpty)
        target.end()
        #expect(write.ends == [0])
        #expect(Array(target.content[4096..<8192]) == data)
        target.errno = EIO
        let read = bench.submit(.read, 0, 1)
        target.end()
        #expect(read.ends == [EIO])
    }

    @Test("take the same part again once it has ended")
    func reuse() throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 64)
        bench.activate(try bench.table(target))
        bench.submit(.read, 0, 8)
        let part = ObjectIdentifier(target.held[0])
        target.end()
        bench.submit(.read, 8, 8)
        #expect(ObjectIdentifier(target.held[0]) == part)
        target.end()
    }

    @Test("are cut at the ends of targets and at their boundaries, and every sector comes from its place")
    func cuts() throws {
        let bench = try DeviceBench()
        let first = bench.target("a", sectors: 20)
        let second = bench.target("b", sectors: 44, start: 20)
        second.abilities.boundary = 16
        bench.activate(try bench.table(first, second))
        let data = Bytes.random(64 * 512, seed: 2)
        let write = bench.submit(.write, 0, 64, data: data)
        #expect(first.held.map(\.range) == [SectorRange(start: 0, count: 20)])
        // Counted from the target's start.
        #expect(
            second.held.map(\.range) == [
                SectorRange(start: 20, count: 16), SectorRange(start: 36, count: 16), SectorRange(start: 52, count: 12),
            ])
        second.endAll()
        #expect(write.ends.isEmpty)
        first.end()
        #expect(write.ends == [0])
        #expect(first.content + second.content == data)
        let read = bench.submit(.read, 10, 30)
        #expect(second.held.count == 2)
        second.end(1)
        second.end()
        first.end()
        #expect(read.ends == [0])
        #expect(read.bytes == Array(data[(10 * 512)..<(40 * 512)]))
    }

    @Test("end once, with the first error that a part has had")
    func firstError() throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 64)
        target.abilities.boundary = 8
        bench.activate(try bench.table(target))
        let read = bench.submit(.read, 0, 32)
        target.end()
        target.errno = ENOSPC
        target.end(2)
        target.errno = EIO
        target.end()
        #expect(read.ends.isEmpty)
        target.errno = 0
        target.end()
        #expect(read.ends == [ENOSPC])
    }

    @Test("of any length take a limited number of parts at a time", arguments: [false, true])
    func window(isPrompt: Bool) throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 1024)
        target.abilities.boundary = 1
        target.isPrompt = isPrompt
        bench.activate(try bench.table(target))
        let data = Bytes.random(1024 * 512, seed: 3)
        let write = bench.submit(.write, 0, 1024, data: data)
        if !isPrompt {
            #expect(target.held.count == RequestRouter.window)
            target.endAll()
        }
        #expect(write.ends == [0])
        #expect(target.content == data)
    }

    @Test("that are discards are cut at the ends of targets only, and fail where a target cannot discard")
    func discards() throws {
        let bench = try DeviceBench()
        let first = bench.target("a", sectors: 32)
        let second = bench.target("b", sectors: 32, start: 32)
        for target in [first, second] {
            target.abilities.boundary = 8
            target.abilities.canDiscard = true
        }
        bench.activate(try bench.table(first, second))
        #expect(bench.device.canDiscard)
        let discard = bench.submit(.discard, 4, 40)
        #expect(first.held.map(\.range) == [SectorRange(start: 4, count: 28)])
        #expect(second.held.map(\.range) == [SectorRange(start: 32, count: 12)])
        first.end()
        second.end()
        #expect(discard.ends == [0])
        second.abilities.canDiscard = false
        #expect(bench.submit(.discard, 32, 8).ends == [EOPNOTSUPP])
        let both = bench.submit(.discard, 24, 16)
        first.end()
        #expect(both.ends == [EOPNOTSUPP] && second.held.isEmpty)
    }

    @Test("that flush reach every target that flushes, once")
    func flushes() throws {
        let bench = try DeviceBench()
        let targets = (0..<3).map { bench.target("\($0)", sectors: 8, start: UInt64($0) * 8) }
        targets[1].abilities.canFlush = false
        bench.activate(try bench.table(targets[0], targets[1], targets[2]))
        let flush = bench.submit(.flush)
        #expect(targets.map(\.held.count) == [1, 0, 1])
        targets[0].end()
        #expect(flush.ends.isEmpty)
        targets[2].errno = EIO
        targets[2].end()
        #expect(flush.ends == [EIO])
    }

    @Test("that flush end at once where no target flushes")
    func flushOfNothing() throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 8)
        target.abilities.canFlush = false
        bench.activate(try bench.table(target))
        #expect(bench.submit(.flush).ends == [0])
    }

    @Test(
        "that write zeroes are handed to a target that can, and written to one that cannot, or must not give storage up"
    )
    func zeroes() throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 2048)
        target.content = [UInt8](repeating: 7, count: 2048 * 512)
        bench.activate(try bench.table(target))
        let written = bench.submit(.writeZeroes, 8, 1100)
        #expect(target.held.map(\.operation) == [.write, .write, .write])
        #expect(target.held.map(\.count) == [512, 512, 76])
        target.endAll()
        #expect(written.ends == [0])
        let expected = Bytes.replacing([UInt8](repeating: 7, count: 2048 * 512), sector: 8, count: 1100, from: nil)
        #expect(Bytes.difference(target.content, expected) == nil)
        target.abilities.canWriteZeroes = true
        #expect(bench.device.canWriteZeroesFast)
        let handed = bench.submit(.writeZeroes, 1108, 8)
        #expect(target.held.map(\.operation) == [.writeZeroes])
        target.end()
        let kept = bench.submit(.writeZeroes, 1116, 8, mayUnmap: false)
        #expect(target.held.map(\.operation) == [.write])
        target.end()
        #expect(handed.ends == [0] && kept.ends == [0])
        let all = Bytes.replacing([UInt8](repeating: 7, count: 2048 * 512), sector: 8, count: 1116, from: nil)
        #expect(Bytes.difference(target.content, all) == nil)
    }

    @Test("that write zeroes durably are followed by a flush")
    func durableZeroes() throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 64)
        target.abilities.canWriteZeroes = true
        bench.activate(try bench.table(target))
        let zeroes = bench.submit(.writeZeroes, 0, 8, isFUA: true)
        target.end()
        #expect(zeroes.ends.isEmpty)
        #expect(target.held.map(\.operation) == [.flush])
        target.end()
        #expect(zeroes.ends == [0])
        let failing = bench.submit(.writeZeroes, 0, 8, isFUA: true)
        target.errno = EIO
        target.end()
        #expect(failing.ends == [EIO])
    }

    @Test("are checked: behind the end, unaligned, empty, of a kind that no device has")
    func checks() throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 64)
        target.abilities.logicalBlockSectors = 8
        bench.activate(try bench.table(target))
        #expect(bench.device.logicalBlockSectors == 8)
        #expect(bench.submit(.read, 56, 16).ends == [EIO])
        #expect(bench.submit(.read, .max - 7, 8).ends == [EIO])
        #expect(bench.submit(.write, 4, 8).ends == [EINVAL])
        #expect(bench.submit(.write, 8, 4).ends == [EINVAL])
        #expect(bench.submit(.read, 8, 0).ends == [0])
        #expect(bench.submit(.pollIn, 0, 8).ends == [EOPNOTSUPP])
        #expect(target.held.isEmpty)
    }

    @Test("that change a read-only device are refused")
    func readOnly() throws {
        for isTableReadOnly in [false, true] {
            let bench = try DeviceBench(isReadOnly: !isTableReadOnly)
            let target = bench.target("a", sectors: 64)
            target.isPrompt = true
            bench.activate(try bench.table(target, isReadOnly: isTableReadOnly))
            #expect(bench.device.isReadOnly && bench.device.info.isReadOnly)
            for operation in [IOOperation.Kind.write, .writeZeroes, .discard] {
                #expect(bench.submit(operation, 0, 8).ends == [EROFS])
            }
            #expect(bench.submit(.read, 0, 8).ends == [0])
            #expect(bench.submit(.flush).ends == [0])
        }
    }

    @Test("that change a read-only target beside others are refused")
    func readOnlyTarget() throws {
        let bench = try DeviceBench()
        let first = bench.target("a", sectors: 8)
        let second = bench.target("b", sectors: 8, start: 8)
        first.isPrompt = true
        second.abilities.isReadOnly = true
        bench.activate(try bench.table(first, second))
        #expect(!bench.device.isReadOnly)
        #expect(bench.submit(.write, 0, 8).ends == [0])
        #expect(bench.submit(.write, 8, 8).ends == [EROFS])
        #expect(bench.submit(.write, 4, 8).ends == [EROFS])
    }

    @Test("of a device without a table fail, flushes too")
    func noTable() throws {
        let bench = try DeviceBench()
        #expect(bench.device.sectors == 0)
        #expect(bench.submit(.read, 0, 8).ends == [EIO])
        #expect(bench.submit(.flush).ends == [EIO])
    }

    @Test("find what is allocated through all targets, with neighbours that are alike in one")
    func allocation() throws {
        let bench = try DeviceBench()
        let targets = [
            bench.target("data", sectors: 8), bench.target("hole 1", sectors: 8, start: 8),
            bench.target("hole 2", sectors: 8, start: 16),
        ]
        bench.activate(try bench.table(targets[0], targets[1], targets[2]))
        #expect(
            bench.device.allocation(in: SectorRange(start: 4, count: 16), limit: 8) == [
                Allocation(end: 8, isHole: false, isZero: false), Allocation(end: 20, isHole: true, isZero: true),
            ])
        #expect(
            bench.device.allocation(in: SectorRange(start: 4, count: 16), limit: 1) == [
                Allocation(end: 8, isHole: false, isZero: false)
            ])
    }
}
