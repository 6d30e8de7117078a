import BlockIO
import SystemPackage

/// An image file as a device that is served: requests go to the file as they are.
final class ImageDevice: ServedDevice {
    private let device: BlockDevice
    private let thread: QueueThread
    var sectors: UInt64 { device.sectors }
    var isReadOnly: Bool { !device.isWritable }
    var logicalBlockSectors: UInt64 = 1
    var preferredSectors: UInt64 = 8
    var canDiscard = true
    var canWriteZeroesFast: Bool { device.geometry.canWriteZeroes }
    /// Users at this moment.
    private(set) var users = 0

    init(path: String, thread: QueueThread, isReadOnly: Bool = false) throws(BlockError) {
        device = try BlockDevice.open(FilePath(path), access: isReadOnly ? .readOnly : .readWrite, claim: !isReadOnly)
        self.thread = thread
    }

    func handle(_ request: BlockRequest) { thread.start(request.transfer(to: request.sector), on: device) }

    func allocation(in range: SectorRange, limit: Int) -> [Allocation] {
        device.stretches(in: range, alignment: logicalBlockSectors, limit: limit).map {
            Allocation(end: $0.end, isHole: $0.isHole, isZero: $0.isHole)
        }
    }

    func opened() { users += 1 }
    func closed() { users -= 1 }
    func close() { device.close() }
}
