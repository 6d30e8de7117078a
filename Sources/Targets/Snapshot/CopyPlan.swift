import BlockIO

/// What snapshots of one chunk size need before a range of their origin may be written to: which chunks have to be copied,
/// into which of them. What follows each other becomes one job, and what several snapshots need is read once.
struct CopyPlan {
    private let write: OriginWrite
    private let snapshots: [Snapshot]
    private let range: SectorRange

    /// Chunks that the same snapshots need, and where each of them has room for them.
    private struct Stretch {
        var first: UInt64
        var count: UInt64
        var takers: [(snapshot: Snapshot, new: UInt64)]
    }

    /// What `snapshots`, all of one chunk size, need before `write` may write to `range`.
    init(_ write: OriginWrite, _ range: SectorRange, _ snapshots: [Snapshot]) {
        self.write = write
        self.range = range
        self.snapshots = snapshots
    }

    /// Starts the copies that are not under way, and has the write wait for all of them.
    func start() {
        guard let first = snapshots.first else { return }
        var stretch: Stretch?
        for chunk in first.chunks(range) {
            let takers = takers(of: chunk, first.chunkShift)
            guard !takers.isEmpty else { continue }
            if let known = stretch, goesOn(known, chunk, takers) {
                stretch?.count += 1
            } else {
                if let stretch { copy(stretch) }
                stretch = Stretch(first: chunk, count: 1, takers: takers)
            }
        }
        if let stretch { copy(stretch) }
    }

    /// The snapshots that need a chunk, each with its place for it. Those that have it on its way are waited for.
    private func takers(of chunk: UInt64, _ shift: UInt64) -> [(snapshot: Snapshot, new: UInt64)] {
        var takers: [(snapshot: Snapshot, new: UInt64)] = []
        for snapshot in snapshots where snapshot.takesCopies(of: range) && chunk << shift < snapshot.length {
            if let run = snapshot.pending[chunk] {
                wait(for: run)
            } else if snapshot.exceptions.lookup(chunk) == nil {
                if let (new, _) = snapshot.allocate(1) {
                    takers.append((snapshot, new))
                } else {
                    snapshot.overflow(bySnapshotWrite: false)
                }
            }
        }
        return takers
    }

    private func goesOn(_ stretch: Stretch, _ chunk: UInt64, _ takers: [(snapshot: Snapshot, new: UInt64)]) -> Bool {
        guard stretch.first + stretch.count == chunk, stretch.takers.count == takers.count,
            (stretch.count + 1) << stretch.takers[0].snapshot.chunkShift <= Snapshot.mostCopySectors
        else { return false }
        return zip(stretch.takers, takers).allSatisfy {
            $0.snapshot === $1.snapshot && $0.new + stretch.count == $1.new
        }
    }

    private func wait(for run: PendingRun) {
        // A run of several chunks is waited for once.
        if run.originWrites.last === write { return }
        run.originWrites.append(write)
        write.left += 1
    }

    // MARK: Copying

    private func copy(_ stretch: Stretch) {
        let runs = stretch.takers.map { taker in
            let run = taker.snapshot.begin(ExceptionRun(old: stretch.first, new: taker.new, length: stretch.count))
            wait(for: run)
            return (taker.snapshot, run)
        }
        let most = runs[0].0.copier.mostDestinations
        for start in stride(from: 0, to: runs.count, by: most) {
            copy(Array(runs[start..<min(start + most, runs.count)]))
        }
    }

    private func copy(_ runs: [(Snapshot, PendingRun)]) {
        let (first, run) = runs[0]
        first.copier.copy(
            from: first.origin, sector: run.run.old << first.chunkShift, count: first.sectors(of: run.chunks),
            to: runs.map { CopyDestination($0.cow, $1.run.new << $0.chunkShift) }, overlay: []
        ) { readError, writeErrors in
            for (index, (snapshot, run)) in runs.enumerated() {
                snapshot.filled(run, Snapshot.reason(readError, writeErrors >> UInt32(index) & 1 == 1, snapshot))
            }
        }
    }
}
