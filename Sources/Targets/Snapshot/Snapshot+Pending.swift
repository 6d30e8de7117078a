import BlockIO
import Glibc

/// The way of chunks to becoming exceptions: filled, committed, known, safe.
extension Snapshot {
    /// Chunks have got their places.
    func begin(_ chunks: ExceptionRun) -> PendingRun {
        let run = PendingRun(chunks)
        for chunk in run.chunks { pending[chunk] = run }
        inFlight += chunks.length
        checkFill()
        return run
    }

    /// The chunks have been filled, or, for a reason, have not.
    func filled(_ run: PendingRun, _ fault: String?) {
        leaveFlight(run.run.length)
        if let fault {
            store.abandon(run.run.length)
            invalidate(fault)
            return lost(run)
        }
        store.commit(run.run) { [self] isDurable in
            isDurable && isValid ? committed(run) : lost(run)
        }
    }

    /// The exceptions are durable: new reads go to the store, and what old reads still read of the origin has to stay for
    /// them.
    private func committed(_ run: PendingRun) {
        for offset in 0..<run.run.length { exceptions.insert(old: run.run.old + offset, new: run.run.new + offset) }
        originReads.whenClear({ $0.overlaps(run.chunks) }, { [self] in safe(run) })
    }

    /// The origin may be written to.
    private func safe(_ run: PendingRun) {
        forget(run)
        run.filler?.partEnded(0)
        for follower in run.followers {
            // It was cut at the chunk, which has a place now; still, it could have become invalid.
            guard isValid, let (new, _) = exceptions.lookup(follower.sector >> chunkShift) else {
                follower.end(EIO)
                continue
            }
            let place = new << chunkShift + follower.sector & (chunkSectors - 1)
            writeStore(follower, follower.range, to: place)
        }
        for write in run.originWrites { write.oneIsSafe() }
        for done in run.whenOver { done() }
        checkDrained()
    }

    /// The chunks have not become exceptions, and the snapshot is invalid. The origin goes on.
    private func lost(_ run: PendingRun) {
        forget(run)
        run.filler?.partEnded(EIO)
        for follower in run.followers { follower.end(EIO) }
        for done in run.whenOver { done() }
        // What was read of the origin for the snapshot before is still to be the old data.
        originReads.whenClear({ $0.overlaps(run.chunks) }) { [self] in
            for write in run.originWrites { write.oneIsSafe() }
            checkDrained()
        }
    }

    private func forget(_ run: PendingRun) {
        for chunk in run.chunks { pending[chunk] = nil }
    }
}
