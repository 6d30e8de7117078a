import BlockIO
import Glibc
import Targets

/// A simulated disk as a target has it open.
final class DiskHandle: TargetDevice {
    let disk: SimulatedDisk
    let isWritable: Bool
    private(set) var isReleased = false
    private var underWay = 0

    init(disk: SimulatedDisk, isWritable: Bool) {
        self.disk = disk
        self.isWritable = isWritable
    }

    var name: String { disk.name }
    var identity: DeviceIdentity {
        DeviceIdentity(space: .disk(disk.deviceNumber))
    }
    var sectors: UInt64 { disk.sectors }
    var logicalBlockSectors: UInt64 { disk.logicalBlockSectors }
    var canDiscard: Bool { disk.canDiscard }
    var canWriteZeroes: Bool { disk.canWriteZeroes }
    var medium: any StoreMedium { SimulatedMedium(disk: disk) }

    func start(_ transfer: DeviceIO) {
        let simulator = disk.simulator
        let kind = transfer.kind
        let range = SectorRange(start: transfer.offset / 512, count: UInt64(transfer.length / 512))
        check(transfer, range)
        let address = transfer.memory?.address
        let written = disk.newContent(kind, range, from: address)
        let operation = simulator.recording.submitted(
            disk: disk.number, kind, range, isFUA: transfer.isFUA, bytes: written ?? [])
        let errno = isReleased || !isWritable && kind != .read && kind != .flush ? EBADF : disk.verdict(kind, range)
        let early = kind == .read && errno == 0 && simulator.chance(2) ? disk.bytes(range) : nil
        if kind == .read, let address { memset(address, 0xEE, transfer.length) }
        underWay += 1
        let label = "\(kind) of \(disk.name) at \(range.start)+\(range.count)\(transfer.isFUA ? " FUA" : "")"
        simulator.submit(label, isHeld: { [disk] in disk.isHeld(kind, range) }) { [self] in
            finish(transfer, range, written: written, early: early, errno: errno)
            simulator.recording.completed(operation, errno: errno)
            underWay -= 1
            transfer.errno = errno
            transfer.ended(transfer)
        }
    }

    private func finish(
        _ transfer: DeviceIO, _ range: SectorRange, written: [UInt8]?, early: [UInt8]?, errno: Int32
    ) {
        if let written {
            if transfer.kind == .write, let address = transfer.memory?.address {
                if !holds(address, written) {
                    disk.simulator.violation("memory changed under a write of \(disk.name) at \(range.start)")
                }
            }
            if errno == 0 || errno == EIO { disk.store(written, at: range, failed: errno != 0) }
        } else if transfer.kind == .read, errno == 0, let address = transfer.memory?.address {
            (early ?? disk.bytes(range)).withUnsafeBytes {
                if let base = $0.baseAddress { memcpy(address, base, $0.count) }
            }
        }
    }

    private func check(_ transfer: DeviceIO, _ range: SectorRange) {
        let simulator = disk.simulator
        func violation(_ text: String) {
            simulator.violation("\(transfer.kind) of \(disk.name) at \(range.start)+\(range.count): \(text)")
        }
        if isReleased { violation("the device has been released") }
        if transfer.kind != .read, transfer.kind != .flush, !isWritable { violation("it is open for reading only") }
        if transfer.offset % 512 != 0 || transfer.length % 512 != 0 { violation("no whole sectors") }
        if transfer.kind == .read || transfer.kind == .write {
            if transfer.memory == nil { violation("no memory") }
            if range.count == 0 { violation("no sectors") }
        }
        if range.start % disk.logicalBlockSectors != 0 || range.count % disk.logicalBlockSectors != 0 {
            violation("not aligned to \(disk.logicalBlockSectors) sectors")
        }
    }

    func stretches(in range: SectorRange, alignment: UInt64, limit: Int) -> [BlockDevice.Stretch] { [] }

    func release() {
        if isReleased { disk.simulator.violation("\(disk.name) released twice") }
        if underWay > 0 { disk.simulator.violation("\(disk.name) released with \(underWay) operations under way") }
        isReleased = true
        disk.handleReleased()
    }
}
