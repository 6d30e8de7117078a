import BlockIO
import Glibc
import Targets

/// A copy service that cuts copies at random places and does the pieces in any order.
final class SimulatedCopier: ChunkCopier {
    let mostDestinations = 8
    private let simulator: Simulator
    private var jobs = 0
    private var onIdle: (() -> Void)?
    private var isDestroyed = false

    init(simulator: Simulator, pages: Int) {
        self.simulator = simulator
        if pages < 1 { simulator.violation("a copy client of \(pages) pages") }
    }

    func copy(
        from source: any TargetDevice, sector: UInt64, count: UInt64, to destinations: [CopyDestination],
        overlay: [OverlayStretch], ended: @escaping (_ readError: Bool, _ writeErrors: UInt32) -> Void
    ) {
        check(count, destinations)
        let before = overlay.map { Array(UnsafeRawBufferPointer(start: $0.address, count: Int($0.count) * 512)) }
        let job = CopyJob(simulator, source, sector, count, destinations, overlay) { [self] readError, writeErrors in
            for (stretch, bytes) in zip(overlay, before)
            where !holds(stretch.address, bytes) {
                simulator.violation("the overlay of a copy was changed while it was under way")
            }
            ended(readError, writeErrors)
            jobEnded()
        }
        jobs += 1
        simulator.submit("a copy of \(source.name) from \(sector)+\(count) is to begin") { job.begin() }
    }

    func zero(_ destination: CopyDestination, count: UInt64, ended: @escaping (_ writeError: Bool) -> Void) {
        check(count, [destination])
        jobs += 1
        let transfer = DeviceIO { [self] transfer in
            simulator.submit("zeroes are to be reported") {
                ended(transfer.errno != 0)
                self.jobEnded()
            }
        }
        transfer.describe(.writeZeroes, sector: destination.sector, count: count)
        simulator.submit("zeroing is to begin") { destination.device.start(transfer) }
    }

    func destroy(_ done: @escaping () -> Void) {
        if isDestroyed { simulator.violation("a copy client was destroyed twice") }
        isDestroyed = true
        onIdle = { [simulator] in
            simulator.submit("a copy client is to end") {
                simulator.copierEnded()
                done()
            }
        }
        endIfIdle()
    }

    private func check(_ count: UInt64, _ destinations: [CopyDestination]) {
        if isDestroyed { simulator.violation("a copy for a client that was destroyed") }
        if count == 0 { simulator.violation("a copy of no sectors") }
        if destinations.isEmpty || destinations.count > mostDestinations {
            simulator.violation("a copy to \(destinations.count) destinations")
        }
    }

    private func jobEnded() {
        jobs -= 1
        endIfIdle()
    }

    private func endIfIdle() {
        if jobs == 0, let idle = onIdle {
            onIdle = nil
            idle()
        }
    }
}

/// One copy under way.
private final class CopyJob {
    private let simulator: Simulator
    private let source: any TargetDevice
    private let first: UInt64
    private let destinations: [CopyDestination]
    private let overlay: [OverlayStretch]
    private let ended: (Bool, UInt32) -> Void
    /// Pieces that have not begun.
    private var pieces: [SectorRange] = []
    private var underWay = 0
    private var readError = false
    private var writeErrors: UInt32 = 0
    private var isReported = false

    init(
        _ simulator: Simulator, _ source: any TargetDevice, _ first: UInt64, _ count: UInt64,
        _ destinations: [CopyDestination], _ overlay: [OverlayStretch], ended: @escaping (Bool, UInt32) -> Void
    ) {
        self.simulator = simulator
        self.source = source
        self.first = first
        self.destinations = destinations
        self.overlay = overlay
        self.ended = ended
        let unit = destinations.map(\.device.logicalBlockSectors).reduce(source.logicalBlockSectors, max)
        if first % unit != 0 || count % unit != 0 {
            simulator.violation("a copy of \(first)+\(count) in blocks of \(unit)")
        }
        let most = simulator.pieceSectors ?? (simulator.chance(2) ? count : simulator.random(1...max(count, 1)))
        let length = max(unit, most / unit * unit)
        pieces = stride(from: 0, to: count, by: Int(length)).map {
            SectorRange(start: $0, count: min(length, count - $0))
        }
    }

    func begin() {
        let most = simulator.random(1...4)
        for _ in 0..<most { next() }
    }

    /// Begins the next piece, or ends the job where there is none and nothing is under way.
    private func next() {
        guard !pieces.isEmpty, !readError, writeErrors == 0 else {
            if underWay == 0 { finish() }
            return
        }
        let piece = pieces.removeFirst()
        underWay += 1
        let memory = UnsafeMutableRawPointer.allocate(byteCount: Int(piece.count) * 512, alignment: 4096)
        let slice = MemorySlice(address: memory, slot: -1)
        let read = DeviceIO { [self] read in
            if read.errno != 0 {
                readError = true
                pieceEnded(memory)
            } else {
                lay(over: memory, piece)
                write(piece, slice) { self.pieceEnded(memory) }
            }
        }
        read.describe(.read, sector: first + piece.start, count: piece.count, memory: slice)
        source.start(read)
    }

    private func lay(over memory: UnsafeMutableRawPointer, _ piece: SectorRange) {
        for stretch in overlay {
            let start = max(stretch.sector, piece.start)
            let end = min(stretch.sector + stretch.count, piece.end)
            guard start < end else { continue }
            memcpy(
                memory + Int(start - piece.start) * 512, stretch.address + Int(start - stretch.sector) * 512,
                Int(end - start) * 512)
        }
    }

    private func write(_ piece: SectorRange, _ memory: MemorySlice, done: @escaping () -> Void) {
        var left = destinations.count
        for (index, destination) in destinations.enumerated() {
            let transfer = DeviceIO { [self] write in
                if write.errno != 0 { writeErrors |= 1 << UInt32(index) }
                left -= 1
                if left == 0 { done() }
            }
            transfer.describe(.write, sector: destination.sector + piece.start, count: piece.count, memory: memory)
            destination.device.start(transfer)
        }
    }

    private func pieceEnded(_ memory: UnsafeMutableRawPointer) {
        memory.deallocate()
        underWay -= 1
        next()
    }

    private func finish() {
        guard !isReported else { return }
        isReported = true
        simulator.submit("a copy is to be reported") { [self] in ended(readError, writeErrors) }
    }
}
