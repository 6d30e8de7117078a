import BlockIO
import Dispatch
import Glibc
import Synchronization

/// The I/O of pieces.
extension Lane {
    /// What an operation was started for; packed into its token.
    struct Purpose {
        enum Step: UInt64 {
            case read, write, readBack, flush
        }

        var step: Step
        /// The piece's number, or the job's for a flush.
        var index: Int
        var destination: Int

        var token: UInt64 { UInt64(index) << 8 | step.rawValue << 4 | UInt64(destination) }

        init(_ step: Step, _ index: Int, _ destination: Int = 0) {
            self.step = step
            self.index = index
            self.destination = destination
        }

        init(token: UInt64) {
            guard let step = Step(rawValue: token >> 4 & 15) else { preconditionFailure("token \(token)") }
            self.init(step, Int(token >> 8), Int(token & 15))
        }
    }

    func perform(_ action: JobScheduler.Action) {
        switch action {
        case .read(let piece): io.start(readOperation(piece), token: Purpose(.read, piece).token)
        case .readThenWrite(let piece):
            io.start(
                readOperation(piece), token: Purpose(.read, piece).token,
                then: operation(.write, piece, destination: 0), token: Purpose(.write, piece).token)
        case .write(let piece): write(piece)
        case .readBack(let piece, let destination):
            io.start(
                operation(.read, piece, destination: destination), token: Purpose(.readBack, piece, destination).token)
        case .map(let job, let sector): map(job, from: sector)
        case .flush(let job):
            for (index, place) in entry(job).destinations.enumerated() {
                io.start(IOOperation(.flush, place.device), token: Purpose(.flush, job, index).token)
            }
        case .finish(let job): finish(job)
        }
    }

    // MARK: Operations

    private func readOperation(_ index: Int) -> IOOperation {
        let piece = scheduler.pieces[index]
        let entry = entry(piece.job)
        guard let source = entry.source else {
            preconditionFailure("piece \(piece.range) of a job without a source is to be read")
        }
        return IOOperation(
            .read, source.device, offset: source.start + piece.range.start << UInt64(Sector.shift),
            length: Int(piece.range.count) << Sector.shift, memory: memory(piece, entry))
    }

    /// An operation between a destination and the memory of a piece, the whole piece or a run of it.
    private func operation(
        _ kind: IOOperation.Kind, _ index: Int, destination: Int, run: BufferScan.Run? = nil
    ) -> IOOperation {
        let piece = scheduler.pieces[index]
        let entry = entry(piece.job)
        let place = entry.destinations[destination]
        let start = place.start + piece.range.start << UInt64(Sector.shift)
        var memory = kind == .writeZeroes ? nil : memory(piece, entry)
        memory?.address += run?.offset ?? 0
        return IOOperation(
            kind, place.device, offset: start + UInt64(run?.offset ?? 0),
            length: run?.length ?? Int(piece.range.count) << Sector.shift, memory: memory)
    }

    private func memory(_ piece: Piece, _ entry: Running) -> MemorySlice {
        guard let run = piece.pages else { preconditionFailure("piece \(piece.range) has no pages") }
        return MemorySlice(address: entry.memory.address + run.start * Page.size, slot: entry.memory.slot)
    }

    private func write(_ index: Int) {
        let piece = scheduler.pieces[index]
        let flags = scheduler.jobs[piece.job].flags
        let entry = entry(piece.job)
        let destinations = entry.destinations.indices
        if !piece.isZero {
            let address = memory(piece, entry).address
            entry.job.overlay?.lay(over: address, holding: piece.range)
            if flags.contains(.verify) {
                digests[index] = BufferDigest(address, Int(piece.range.count) << Sector.shift)
            }
        }
        let runs = piece.isZero ? nil : zeroRuns(piece, flags)
        scheduler.writesStarted(index, count: destinations.count * (runs?.count ?? 1))
        for destination in destinations {
            let token = Purpose(.write, index, destination).token
            guard let runs else {
                io.start(operation(piece.isZero ? .writeZeroes : .write, index, destination: destination), token: token)
                continue
            }
            for run in runs {
                let kind: IOOperation.Kind = run.isZero ? .writeZeroes : .write
                io.start(operation(kind, index, destination: destination, run: run), token: token)
            }
        }
    }

    /// The data and zeroes in a piece that was read, if that is wanted.
    private func zeroRuns(_ piece: Piece, _ flags: CopyFlags) -> [BufferScan.Run]? {
        guard flags.contains(.detectZeroes) else { return nil }
        let block = Int(scheduler.jobs[piece.job].shape.blockSectors) << Sector.shift
        return BufferScan.runs(
            memory(piece, entry(piece.job)).address, Int(piece.range.count) << Sector.shift, unit: max(Page.size, block)
        )
    }

    // MARK: Ends

    func operationEnded(token: UInt64, errno: Int32) {
        let purpose = Purpose(token: token)
        // The throttle counts the time until now, not until the last round.
        scheduler.now = DispatchTime.now().uptimeNanoseconds
        switch purpose.step {
        case .read: scheduler.readEnded(purpose.index, errno: errno)
        case .write:
            pieceEvent(purpose) { $0.writeEnded(purpose.index, destination: purpose.destination, errno: errno) }
        case .readBack:
            let found = errno == 0 ? compare(purpose.index) : errno
            pieceEvent(purpose) { $0.readBackEnded(purpose.index, destination: purpose.destination, errno: found) }
        case .flush: scheduler.flushEnded(purpose.index, destination: purpose.destination, errno: errno)
        }
    }

    /// Tells the scheduler what happened to a piece, and the job how far it is.
    private func pieceEvent(_ purpose: Purpose, _ tell: (inout JobScheduler) -> Void) {
        let index = scheduler.pieces[purpose.index].job
        tell(&scheduler)
        running[index]?.job.done.store(scheduler.jobs[index].done, ordering: .relaxed)
    }

    /// Compares what was read back with what was written: 0 or EILSEQ.
    private func compare(_ index: Int) -> Int32 {
        let piece = scheduler.pieces[index]
        let address = memory(piece, entry(piece.job)).address
        let length = Int(piece.range.count) << Sector.shift
        let same = piece.isZero ? BufferScan.isZero(address, length) : BufferDigest(address, length) == digests[index]
        return same ? 0 : EILSEQ
    }
}
