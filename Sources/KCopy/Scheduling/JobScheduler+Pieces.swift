import BlockIO

/// What happens to a piece, and what follows from it.
extension JobScheduler {
    /// The read of a piece has ended.
    mutating func readEnded(_ index: Int, errno: Int32) {
        let piece = pieces[index]
        precondition(piece.stage == .reading, "the read of a piece ended in stage \(piece.stage)")
        if errno != 0 {
            pieces[index].readFailed = true
            jobs[piece.job].note(.source, piece.range, errno)
        }
        if piece.isLinked {
            // Its write is under way, or comes back without having been started.
            pieces[index].stage = .writing
        } else if errno != 0 {
            // What could not be read is not written, whatever the flags say.
            end(index)
        } else {
            takeTurn(index)
        }
    }

    /// So many writes of a piece were started.
    mutating func writesStarted(_ index: Int, count: Int) {
        pieces[index].outstanding += count
    }

    /// A write of a piece to a destination has ended.
    mutating func writeEnded(_ index: Int, destination: Int, errno: Int32) {
        let piece = pieces[index]
        precondition(piece.stage == .writing && piece.outstanding > 0, "a write ended in stage \(piece.stage)")
        pieces[index].outstanding -= 1
        if errno != 0, !(piece.isLinked && errno == IOQueue.notStarted && piece.readFailed) {
            failed(index, destination, errno)
        }
        if errno == 0 { jobs[piece.job].hasWritten = true }
        guard pieces[index].outstanding == 0 else { return }
        if jobs[piece.job].flags.contains(.verify) { verify(index, from: 0) } else { end(index) }
    }

    /// A destination of a piece was read back: 0, EILSEQ where it differs, or the error of reading.
    mutating func readBackEnded(_ index: Int, destination: Int, errno: Int32) {
        precondition(pieces[index].stage == .verifying(destination), "read back in stage \(pieces[index].stage)")
        if errno != 0 { failed(index, destination, errno) }
        verify(index, from: destination + 1)
    }

    /// The flush of a destination has ended.
    mutating func flushEnded(_ job: Int, destination: Int, errno: Int32) {
        guard case .flushing(let left) = jobs[job].phase else {
            preconditionFailure("a flush ended in phase \(jobs[job].phase)")
        }
        if errno != 0 {
            jobs[job].note(.destination(destination), SectorRange(start: 0, count: jobs[job].shape.count), errno)
            // What was written may be lost: none of it counts as copied.
            jobs[job].result.copied = 0
            jobs[job].prefix = CleanPrefix()
        }
        if left > 1 { jobs[job].phase = .flushing(left - 1) } else { finish(job) }
    }

    /// Lets a piece that is ready to be written go on: at once, or when it is its turn.
    mutating func takeTurn(_ index: Int) {
        let piece = pieces[index]
        let job = jobs[piece.job]
        if job.flags.contains(.sequential) {
            if piece.range.start > job.barrier { return drop(index) }
            if piece.range.start != job.turn {
                pieces[index].stage = .waitingForTurn
                return jobs[piece.job].waiting.append(index)
            }
        }
        pieces[index].stage = .writing
        actions.append(.write(index))
    }

    private mutating func failed(_ index: Int, _ destination: Int, _ errno: Int32) {
        pieces[index].failed |= 1 << UInt32(destination)
        jobs[pieces[index].job].note(.destination(destination), pieces[index].range, errno)
    }

    private mutating func verify(_ index: Int, from first: Int) {
        let piece = pieces[index]
        let next = (first..<jobs[piece.job].shape.destinations).first { pieces[index].failed & (1 << UInt32($0)) == 0 }
        guard let next, first < jobs[piece.job].shape.destinations else { return end(index) }
        pieces[index].stage = .verifying(next)
        actions.append(.readBack(index, destination: next))
    }

    /// Ends a piece of a sequential job that may not be written any more.
    private mutating func drop(_ index: Int) {
        pieces[index].dropped = true
        end(index)
    }

    private mutating func end(_ index: Int) {
        let piece = pieces.remove(index)
        let job = piece.job
        if let run = piece.pages { clients[piece.client].budget.give(run) }
        unload(piece)
        clients[piece.client].throttle.ended(now: now)
        clients[piece.client].inFlight -= 1
        jobs[job].inFlight -= 1
        jobs[job].done += piece.range.count
        if piece.readFailed || piece.dropped || piece.failed != 0 {
            jobs[job].prefix.broken(piece.range)
        } else {
            jobs[job].result.copied += piece.range.count
            jobs[job].prefix.done(piece.range)
        }
        if jobs[job].flags.contains(.sequential) { passTurn(job, after: piece) }
        pieceOfClientEnded(piece.client)
        settle(job)
    }

    /// Sequential jobs: the piece behind the one that ended may be written, or none may any more.
    private mutating func passTurn(_ job: Int, after piece: Piece) {
        if piece.range.start == jobs[job].turn { jobs[job].turn = piece.range.end }
        let waiting = jobs[job].waiting
        jobs[job].waiting = []
        for index in waiting { takeTurn(index) }
    }

    /// Finishes a job that has nothing under way and nothing to claim.
    mutating func settle(_ job: Int) {
        guard jobs[job].phase == .running, jobs[job].inFlight == 0, !jobs[job].hasUnclaimed, !jobs[job].isMapping
        else { return }
        // Not only what every destination has got counts: where one has failed the others are flushed as well.
        if jobs[job].flags.contains(.flush), jobs[job].hasWritten {
            jobs[job].phase = .flushing(jobs[job].shape.destinations)
            actions.append(.flush(job))
        } else {
            finish(job)
        }
    }

    mutating func finish(_ job: Int) {
        jobs[job].phase = .finished
        if jobs[job].isQueued { clients[jobs[job].client].jobs.removeAll { $0 == job } }
        actions.append(.finish(job))
    }
}
