import BlockIO
import SystemPackage

/// `linear DEVICE OFFSET`: the sectors of a device from `OFFSET` on.
public struct LinearTargetType: TargetType {
    public let name = "linear"
    /// That of Linux 6.1 and 6.12.
    public let version = [1, 4, 0]

    public init() {}

    public func parse(_ line: TableLine) throws(TargetError) -> any TargetPlan {
        var words = TableWords(line)
        let device = try words.next("the device")
        let offset = try words.number("the first sector on the device", in: 0...TargetTable.mostSectors)
        try words.end()
        return LinearPlan(line: line, device: device, offset: offset)
    }
}

struct LinearPlan: TargetPlan {
    let line: TableLine
    let device: String
    let offset: UInt64

    var devices: [PlannedDevice] { [PlannedDevice(device, isWritten: true)] }

    func construct(
        _ devices: [any TargetDevice], options: TargetOptions, host: TargetHost,
        ended: @escaping (Result<any Target, TargetError>) -> Void
    ) {
        do throws(TargetError) {
            try check(devices[0])
            ended(.success(LinearTarget(devices[0], line.range, offset: offset)))
        } catch {
            devices[0].release()
            ended(.failure(error))
        }
    }

    /// device_area_is_invalid of the kernel's dm-table: inside the device, and made of its blocks.
    private func check(_ device: any TargetDevice) throws(TargetError) {
        let sectors = device.sectors
        let block = device.logicalBlockSectors
        guard offset <= sectors, line.range.count <= sectors - offset else {
            throw line.fault(
                word: 1,
                "sectors \(offset)+\(line.range.count) are not all on \(device.name), which has \(sectors)",
                operation: "load")
        }
        guard offset % block == 0 else {
            throw line.fault(
                word: 1, "\(device.name) has blocks of \(block) sectors, and this is no multiple", operation: "load")
        }
        guard line.range.count % block == 0 else {
            throw TableLine.fault(
                line: line.number, word: 2, "\(line.range.count)", "load", .invalidArgument,
                "\(device.name) has blocks of \(block) sectors, and this is no multiple")
        }
    }
}

final class LinearTarget: StatelessTarget {
    let typeName = "linear"
    var onEvent: ((TargetEvent) -> Void)?

    private let device: any TargetDevice
    private let range: SectorRange
    private let offset: UInt64
    let abilities: TargetAbilities

    init(_ device: any TargetDevice, _ range: SectorRange, offset: UInt64) {
        self.device = device
        self.range = range
        self.offset = offset
        var abilities = TargetAbilities()
        abilities.logicalBlockSectors = device.logicalBlockSectors
        abilities.preferredSectors = max(8, device.logicalBlockSectors)
        abilities.canDiscard = device.canDiscard
        abilities.canWriteZeroes = device.canWriteZeroes
        abilities.isReadOnly = !device.isWritable
        self.abilities = abilities
    }

    var devices: [any TargetDevice] { [device] }
    var tableText: String { "\(device.name) \(offset)" }

    func handle(_ request: BlockRequest) {
        let sector = request.operation == .flush ? 0 : request.sector - range.start + offset
        device.start(request.transfer(to: sector))
    }

    func allocation(in range: SectorRange, limit: Int) -> [Allocation] {
        let place = SectorRange(start: range.start - self.range.start + offset, count: range.count)
        let alignment = max(8, device.logicalBlockSectors)
        return device.stretches(in: place, alignment: alignment, limit: limit).map { stretch in
            Allocation(
                end: stretch.end - offset + self.range.start, isHole: stretch.isHole, isZero: stretch.isHole)
        }
    }
}
