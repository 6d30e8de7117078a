import BlockIO
import CLinux
import Glibc
import SystemPackage

/// A store on a block device or in an image file.
final class BlockDeviceMedium: StoreMedium, Sendable {
    private let device: BlockDevice

    /// Access to a device, which must not be closed meanwhile; for initialising and repairing it is open for writing.
    init(_ device: BlockDevice) { self.device = device }

    var name: String { device.path }
    var logicalBlockSectors: UInt64 { device.geometry.blockSectors }

    /// What the system says now: image files and logical volumes grow.
    var sectors: UInt64 {
        get throws(BlockError) {
            let fd = device.descriptor.rawValue
            switch device.kind {
            case .imageFile:
                return try FileStatus(of: device.descriptor, path: name).size / UInt64(Sector.size)
            case .blockDevice:
                var bytes: UInt64 = 0
                let result = clinux_blkgetsize64(fd, &bytes)
                guard result == 0 else { throw BlockError(name, "read the size", Errno(rawValue: -result)) }
                return bytes / UInt64(Sector.size)
            }
        }
    }

    /// Several stretches of a block device are read at the same time: one after the other each would wait for the
    /// device. Those of a file, most of which are in memory, are not: asking would take longer than reading.
    func read(_ stretches: [StoreStretch]) throws(BlockError) {
        try device.beginUse()
        defer { device.endUse() }
        if stretches.count > 1, device.kind == .blockDevice, let reader = ParallelReader() {
            return try reader.read(stretches, device)
        }
        for stretch in stretches {
            try transfer("read", stretch.sector, stretch.memory.count) { done, offset in
                guard let base = stretch.memory.baseAddress else { return 0 }
                return pread(device.descriptor.rawValue, base + done, stretch.memory.count - done, offset)
            }
        }
    }

    func write(_ sector: UInt64, from memory: UnsafeRawBufferPointer) throws(BlockError) {
        try device.beginUse()
        defer { device.endUse() }
        try transfer("write", sector, memory.count) { done, offset in
            guard let base = memory.baseAddress else { return 0 }
            return pwrite(device.descriptor.rawValue, base + done, memory.count - done, offset)
        }
    }

    func flush() throws(BlockError) {
        try device.beginUse()
        defer { device.endUse() }
        while fsync(device.descriptor.rawValue) != 0 {
            if errno != EINTR { throw BlockError(name, "flush", Errno(rawValue: errno)) }
        }
    }

    /// Repeats a system call until everything is transferred.
    private func transfer(
        _ operation: String, _ sector: UInt64, _ count: Int, _ call: (_ done: Int, _ offset: off_t) -> Int
    ) throws(BlockError) {
        var done = 0
        while done < count {
            let result = call(done, off_t(sector) * off_t(Sector.size) + off_t(done))
            if result > 0 {
                done += result
            } else if result == 0 || errno != EINTR {
                throw Self.failure(name, operation, sector, count, result == 0 ? ENODATA : errno)
            }
        }
    }

    /// The error of a transfer, with its place.
    static func failure(
        _ name: String, _ operation: String, _ sector: UInt64, _ bytes: Int, _ error: Int32
    ) -> BlockError {
        let errno = Errno(rawValue: error)
        return BlockError(name, operation, errno, reason: "sectors \(sector)+\(bytes / Sector.size): \(errno)")
    }
}
