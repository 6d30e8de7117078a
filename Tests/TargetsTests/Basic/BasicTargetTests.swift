import BlockIO
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Targets

/// A device of which only sizes and abilities matter; it keeps the transfers that it is asked for.
private final class NotedDevice: TargetDevice {
    let name = "7:0"
    let identity = DeviceIdentity(space: .disk(DeviceNumber("7:0") ?? DeviceNumber(major: 7)))
    var sectors: UInt64 = 100
    var logicalBlockSectors: UInt64 = 1
    var isWritable = true
    var canDiscard = true
    var canWriteZeroes = true
    var medium: any StoreMedium { preconditionFailure("nobody loads anything from here") }
    var started: [DeviceIO] = []
    var found: [BlockDevice.Stretch] = []
    var asked: SectorRange?
    var releases = 0

    func start(_ transfer: DeviceIO) { started.append(transfer) }

    func stretches(in range: SectorRange, alignment: UInt64, limit: Int) -> [BlockDevice.Stretch] {
        asked = range
        return found
    }

    func release() { releases += 1 }
}

extension DeviceNumber {
    fileprivate init(major: UInt32) {
        guard let number = DeviceNumber("\(major):0") else { preconditionFailure("\(major) is no number") }
        self = number
    }
}

@Suite("The target linear")
struct LinearTargetTests {
    private func made(
        _ text: String, on device: NotedDevice, line: Int = 0
    ) throws -> Result<any Target, TargetError> {
        let table = try TargetTable(parsing: text)
        let plan = try LinearTargetType().parse(table.lines[line])
        var result: [Result<any Target, TargetError>] = []
        plan.construct(
            [device], options: TargetOptions(), host: TargetHost(environment: StillEnvironment())
        ) { result.append($0) }
        return try #require(result.count == 1 ? result[0] : nil)
    }

    @Test("moves sectors to their place on the device and keeps everything else")
    func places() throws {
        let device = NotedDevice()
        let target = try made("0 8 zero\n8 32 linear 7:0 64", on: device, line: 1).get()
        var ends: [Int32] = []
        let request = BlockRequest { ends.append($0.errno) }
        var page = [UInt8](repeating: 0, count: 4096)
        page.withUnsafeMutableBytes { bytes in
            let memory = bytes.baseAddress.map { MemorySlice(address: $0, slot: 3) }
            request.describe(.write, sector: 16, count: 8, memory: memory, isFUA: true)
            target.handle(request)
            let transfer = device.started[0]
            #expect(transfer.kind == .write && transfer.offset == 72 * 512 && transfer.length == 4096)
            #expect(transfer.memory?.address == memory?.address && transfer.memory?.slot == 3 && transfer.isFUA)
            transfer.errno = EIO
            transfer.ended(transfer)
        }
        #expect(ends == [EIO])
        for operation in [IOOperation.Kind.discard, .writeZeroes] {
            request.describe(operation, sector: 8, count: 32)
            target.handle(request)
            #expect(device.started.last?.kind == operation && device.started.last?.offset == 64 * 512)
        }
        request.describe(.flush)
        target.handle(request)
        #expect(device.started.last?.kind == .flush && device.started.last?.length == 0)
    }

    @Test("prints its device and its place, and no status")
    func texts() throws {
        let device = NotedDevice()
        let target = try made("0 32 linear /dev/loop0 64", on: device).get()
        #expect(target.typeName == "linear" && target.tableText == "7:0 64" && target.statusText == "")
        #expect(target.devices.map(\.name) == ["7:0"])
        var done = false
        target.destroy { done = true }
        #expect(done && device.releases == 1)
    }

    @Test("has the abilities of its device")
    func abilities() throws {
        let device = NotedDevice()
        device.logicalBlockSectors = 8
        device.sectors = 96
        device.canDiscard = false
        device.isWritable = false
        let abilities = try made("0 32 linear 7:0 64", on: device).get().abilities
        #expect(abilities.logicalBlockSectors == 8 && abilities.canWriteZeroes && abilities.canFlush)
        #expect(!abilities.canDiscard && abilities.isReadOnly && abilities.boundary == nil && !abilities.isAlone)
    }

    @Test("finds holes where the device has them")
    func holes() throws {
        let device = NotedDevice()
        device.found = [BlockDevice.Stretch(end: 72, isHole: true), BlockDevice.Stretch(end: 80, isHole: false)]
        let target = try made("0 8 zero\n8 32 linear 7:0 64", on: device, line: 1).get()
        #expect(
            target.allocation(in: SectorRange(start: 8, count: 16), limit: 4) == [
                Allocation(end: 16, isHole: true, isZero: true), Allocation(end: 24, isHole: false, isZero: false),
            ])
        #expect(device.asked == SectorRange(start: 64, count: 16))
    }

    @Test(
        "is refused where its sectors are not all on the device, or are no multiple of its blocks",
        arguments: [
            (
                "0 32 linear 7:0 72",
                #"table line 1, word 5 "72": load: sectors 72+32 are not all on 7:0, which has 100"#
            ),
            (
                "0 1 linear 7:0 18014398509481983",
                #"table line 1, word 5 "18014398509481983": load: sectors 18014398509481983+1 are not all on 7:0, which has 100"#
            ),
            (
                "0 8 linear 7:0 4",
                #"table line 1, word 5 "4": load: 7:0 has blocks of 8 sectors, and this is no multiple"#
            ),
            (
                "0 4 linear 7:0 8",
                #"table line 1, word 2 "4": load: 7:0 has blocks of 8 sectors, and this is no multiple"#
            ),
        ])
    func refusals(text: String, reason: String) throws {
        let device = NotedDevice()
        device.logicalBlockSectors = 8
        guard case .failure(let error) = try made(text, on: device) else {
            Issue.record("\(text) was taken")
            return
        }
        #expect(error.description == reason && error.errno == .invalidArgument)
        #expect(device.releases == 1)
    }
}

@Suite("Targets without devices")
struct DevicelessTargetTests {
    private func made(_ type: any TargetType) throws -> any Target {
        let plan = try type.parse(TableLine(range: SectorRange(start: 0, count: 64), type: type.name, words: []))
        var result: Result<any Target, TargetError>?
        plan.construct([], options: TargetOptions(), host: TargetHost(environment: StillEnvironment())) { result = $0 }
        return try #require(result).get()
    }

    private func device(_ type: any TargetType) throws -> DeviceBench {
        let bench = try DeviceBench()
        let segment = LoadedTable.Segment(range: SectorRange(start: 0, count: 64), target: try made(type))
        bench.activate(try LoadedTable([segment]))
        return bench
    }

    @Test("zero reads as zeroes and drops what is written")
    func zero() throws {
        let bench = try device(ZeroTargetType())
        #expect(bench.submit(.write, 0, 8, data: Bytes.random(4096, seed: 1)).ends == [0])
        let read = bench.request(.read, 0, 8, data: Bytes.random(4096, seed: 2))
        bench.device.handle(read.request)
        #expect(read.ends == [0] && read.bytes == [UInt8](repeating: 0, count: 4096))
        #expect(bench.submit(.discard, 0, 64).ends == [0] && bench.submit(.writeZeroes, 0, 64).ends == [0])
        #expect(bench.submit(.flush).ends == [0])
        #expect(
            bench.device.allocation(in: SectorRange(start: 8, count: 8), limit: 9) == [
                Allocation(end: 16, isHole: true, isZero: true)
            ])
        #expect(bench.device.table().map(\.description) == ["0 64 zero "])
        #expect(bench.device.status().map(\.description) == ["0 64 zero "])
    }

    @Test("error fails everything but a flush, of which there is nothing to fail")
    func error() throws {
        let bench = try device(ErrorTargetType())
        for operation in [IOOperation.Kind.read, .write, .discard, .writeZeroes] {
            #expect(bench.submit(operation, 0, 8).ends == [EIO])
        }
        #expect(bench.submit(.flush).ends == [0])
        #expect(
            bench.device.allocation(in: SectorRange(start: 8, count: 8), limit: 9) == [
                Allocation(end: 16, isHole: false, isZero: false)
            ])
        #expect(bench.device.table().map(\.description) == ["0 64 error "])
        let message = #expect(throws: TargetError.self) { try bench.device.message(sector: 0, ["x"]) }
        #expect(message?.errno == .invalidArgument)
    }
}
