import BlockIO
import Glibc
import SystemPackage
import Targets

/// A simulated disk for those who wait: an operation ends before the call returns.
final class SimulatedMedium: StoreMedium, @unchecked Sendable {  // detached work runs on the test's own thread
    private let disk: SimulatedDisk

    init(disk: SimulatedDisk) { self.disk = disk }

    var name: String { disk.name }
    var sectors: UInt64 { get throws(BlockError) { disk.sectors } }
    var logicalBlockSectors: UInt64 { disk.logicalBlockSectors }

    func read(_ stretches: [StoreStretch]) throws(BlockError) {
        for stretch in stretches {
            if Int(bitPattern: stretch.memory.baseAddress) % 4096 != 0 {
                disk.simulator.violation("memory for a read of \(name) is not aligned")
            }
            let range = SectorRange(start: stretch.sector, count: UInt64(stretch.memory.count / 512))
            try carryOut(.read, range, from: nil)
            stretch.memory.copyBytes(from: disk.bytes(range))
        }
    }

    func write(_ sector: UInt64, from memory: UnsafeRawBufferPointer) throws(BlockError) {
        try carryOut(.write, SectorRange(start: sector, count: UInt64(memory.count / 512)), from: memory.baseAddress)
    }

    func flush() throws(BlockError) {
        try carryOut(.flush, SectorRange(start: 0, count: 0), from: nil)
    }

    private func carryOut(
        _ kind: IOOperation.Kind, _ range: SectorRange, from memory: UnsafeRawPointer?
    ) throws(BlockError) {
        let errno = disk.verdict(kind, range)
        let written = disk.newContent(kind, range, from: memory)
        let recording = disk.simulator.recording
        let operation = recording.submitted(disk: disk.number, kind, range, isFUA: false, bytes: written ?? [])
        if let written, errno == 0 || errno == EIO { disk.store(written, at: range, failed: errno != 0) }
        recording.completed(operation, errno: errno)
        if errno != 0 {
            throw BlockError(name, "\(kind) sector \(range.start)", Errno(rawValue: errno), reason: "a simulated fault")
        }
    }
}
