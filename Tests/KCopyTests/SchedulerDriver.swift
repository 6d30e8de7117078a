import BlockIO

@testable import KCopy

/// A generator whose sequence is given by its seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_F491_4F6C_DD1D
    }
}

/// Runs a scheduler without I/O: collects what it wants done, and lets a test end operations in any order at times of its
/// own choosing.
struct SchedulerDriver {
    /// An operation that the scheduler has started and that has not ended.
    enum Pending: Equatable {
        case read(piece: Int)
        case linkedWrite(piece: Int)
        case write(piece: Int, destination: Int)
        case readBack(piece: Int, destination: Int)
        case flush(job: Int, destination: Int)
        case map(job: Int, from: UInt64)
    }

    var scheduler: JobScheduler
    var pending: [Pending] = []
    var results: [Int: CopyResult] = [:]
    /// Jobs in the order in which they finished.
    var finished: [Int] = []
    /// Every piece that was ever claimed, by job, in order.
    var claimed: [Int: [SectorRange]] = [:]
    /// The clients of claimed pieces with their bytes, in order.
    var order: [(client: Int, bytes: Int)] = []
    /// What an operation that ends with an error writes as errno; 0 where it succeeds.
    var fault: (Pending, SectorRange) -> Int32 = { _, _ in 0 }
    /// Where data and holes of a job's source are.
    var extents: (_ job: Int, _ from: UInt64) -> [Extent] = { _, _ in [] }
    /// The order in which writes of pieces were started, by job.
    var writes: [Int: [SectorRange]] = [:]

    init(depth: Int = 256) {
        scheduler = JobScheduler(depth: depth, now: 1_000_000_000)
    }

    /// Takes everything that the scheduler wants done.
    mutating func pump() {
        scheduler.wakeSleepers()
        while let action = scheduler.next() { take(action) }
    }

    private mutating func take(_ action: JobScheduler.Action) {
        switch action {
        case .read(let piece):
            note(piece)
            pending.append(.read(piece: piece))
        case .readThenWrite(let piece):
            note(piece)
            pending.append(.read(piece: piece))
        case .write(let piece):
            if scheduler.pieces[piece].isZero || scheduler.pieces[piece].isCovered { note(piece) }
            noteWrite(piece)
            let count = scheduler.jobs[scheduler.pieces[piece].job].shape.destinations
            scheduler.writesStarted(piece, count: count)
            for index in 0..<count { pending.append(.write(piece: piece, destination: index)) }
        case .readBack(let piece, let destination):
            pending.append(.readBack(piece: piece, destination: destination))
        case .map(let job, let from): pending.append(.map(job: job, from: from))
        case .flush(let job):
            for index in 0..<scheduler.jobs[job].shape.destinations {
                pending.append(.flush(job: job, destination: index))
            }
        case .finish(let job):
            results[job] = scheduler.takeResult(job)
            finished.append(job)
        }
    }

    private mutating func note(_ piece: Int) {
        let piece = scheduler.pieces[piece]
        claimed[piece.job, default: []].append(piece.range)
        order.append((piece.client, Int(piece.range.count) * Sector.size))
    }

    private mutating func noteWrite(_ piece: Int) {
        writes[scheduler.pieces[piece].job, default: []].append(scheduler.pieces[piece].range)
    }

    /// Ends one pending operation, as `fault` has it, and takes what follows.
    mutating func end(_ index: Int) {
        let operation = pending.remove(at: index)
        switch operation {
        case .read(let piece):
            let error = fault(operation, scheduler.pieces[piece].range)
            let linked = scheduler.pieces[piece].isLinked
            scheduler.readEnded(piece, errno: error)
            if linked {
                if error == 0 { noteWrite(piece) }
                error == 0
                    ? pending.append(.linkedWrite(piece: piece))
                    : scheduler.writeEnded(piece, destination: 0, errno: IOQueue.notStarted)
            }
        case .linkedWrite(let piece):
            scheduler.writeEnded(piece, destination: 0, errno: fault(operation, scheduler.pieces[piece].range))
        case .write(let piece, let destination):
            scheduler.writeEnded(
                piece, destination: destination, errno: fault(operation, scheduler.pieces[piece].range))
        case .readBack(let piece, let destination):
            scheduler.readBackEnded(
                piece, destination: destination, errno: fault(operation, scheduler.pieces[piece].range))
        case .flush(let job, let destination):
            scheduler.flushEnded(
                job, destination: destination, errno: fault(operation, SectorRange(start: 0, count: 0)))
        case .map(let job, let from): scheduler.mapped(job, extents(job, from))
        }
        pump()
    }

    /// Ends everything, the oldest first, until nothing is pending.
    mutating func endAll() {
        pump()
        while !pending.isEmpty { end(0) }
    }

    /// Ends everything in an order drawn from `generator`.
    mutating func endAll(using generator: inout SeededGenerator) {
        pump()
        while !pending.isEmpty { end(Int.random(in: 0..<pending.count, using: &generator)) }
    }

    mutating func client(_ pages: Int = 2048, _ priority: CopyPriority = .resync, _ rate: CopyRate = .unlimited) -> Int
    {
        scheduler.addClient(pages: pages, priority: priority, rate: rate)
    }

    mutating func job(
        _ client: Int, _ sectors: UInt64, to destinations: Int = 1, _ flags: CopyFlags = [], isZero: Bool = false,
        block: UInt64 = 1, zeroesAreCheap: Bool = true, overlay: [SectorRange] = []
    ) -> Int {
        scheduler.addJob(
            client: client,
            shape: JobShape(
                count: sectors, isZero: isZero, destinations: destinations, blockSectors: block,
                zeroesAreCheap: zeroesAreCheap, flags: flags, overlay: overlay))
    }
}
