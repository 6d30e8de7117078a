import BlockIO
import Glibc

/// Brings the exceptions of a snapshot back to its origin, batch by batch from the end of the list, while both are in use.
/// Belongs to a queue thread.
///
/// A batch is the last slots of an area, sorted: neighbours become one copy, and all copies run together. Then the origin is
/// flushed once, and the slots are emptied with one write. Until that write is durable the exceptions hold, and the copies can
/// simply be made again.
final class Merge: RequestSender {
    /// How much data a batch holds, in sectors, at least one chunk.
    private static let batchSectors: UInt64 = 16_384

    private let snapshot: Snapshot
    private let store: PersistentStore
    private let origin: Origin
    private unowned let owner: any SnapshotOwner
    /// Whether a merge could not go on; it stays so for the life of the target, even if the merge goes on after a resume.
    private(set) var hasFailed = false
    /// Whether there is nothing left to merge.
    private(set) var isFinished = false
    private var isRunning = false
    private var isStopping = false
    /// Whether the other snapshots have yet to keep what a batch overwrites: only until then can it be given up.
    private var isKeeping = false
    private var whenStopped: [() -> Void] = []
    /// The chunks of the origin that are being brought back: writes to them wait.
    private var batch: Set<UInt64> = []
    private var waiting: [BlockRequest] = []
    /// How many exceptions there were at the start, and how many tenths of them are left.
    private let total: UInt64
    private var tenths: UInt64 = 10
    /// Counts batches that were begun, so that what a broken off batch still hears is known for that.
    private var generation = 0

    init(_ snapshot: Snapshot, store: PersistentStore, origin: Origin, owner: any SnapshotOwner) {
        self.snapshot = snapshot
        self.store = store
        self.origin = origin
        self.owner = owner
        total = snapshot.exceptions.count
    }

    // MARK: Starting and stopping

    /// Goes on until everything is merged.
    func start() {
        isStopping = false
        guard !isRunning, !isFinished else { return }
        isRunning = true
        snapshot.whenNothingPending { [self] in store.whenIdle { [self] in nextBatch() } }
    }

    /// Stops after the present batch, and calls back then.
    func stop(_ done: @escaping () -> Void) {
        guard isRunning else { return done() }
        isStopping = true
        whenStopped.append(done)
        // Another snapshot's store may be full: that can take for ever.
        if !origin.takeHeld(of: self).isEmpty { giveUp() }
    }

    var takesBack: ((BlockRequest) -> Void)? { isStopping ? { [self] _ in giveUp() } : nil }

    /// Gives a batch up of which nothing has been copied.
    private func giveUp() {
        if isKeeping { rest() }
    }

    /// Whether a write to a chunk has to wait; it goes to the origin by itself when its time has come.
    func holds(_ chunk: UInt64) -> Bool { batch.contains(chunk) }

    /// Takes a write to a chunk of the batch.
    func hold(_ request: BlockRequest) { waiting.append(request) }

    private func rest() {
        generation += 1
        isRunning = false
        isStopping = false
        isKeeping = false
        release { [origin, snapshot] in origin.write($0, to: snapshot.origin, from: snapshot) }
        var bodies: [() -> Void] = []
        swap(&bodies, &whenStopped)
        for body in bodies { body() }
    }

    /// The batch is over: what has waited goes on. Chunks that are still exceptions are written in the store.
    private func release(_ write: (BlockRequest) -> Void) {
        batch = []
        var requests: [BlockRequest] = []
        swap(&requests, &waiting)
        for request in requests {
            let chunk = request.sector >> snapshot.chunkShift
            if let (new, _) = snapshot.exceptions.lookup(chunk), snapshot.isValid {
                let place = new << snapshot.chunkShift + request.sector & (snapshot.chunkSectors - 1)
                snapshot.writeStore(request, request.range, to: place)
            } else {
                write(request)
            }
        }
    }

    private func fail(_ reason: String) {
        hasFailed = true
        generation += 1
        batch = []
        var requests: [BlockRequest] = []
        swap(&requests, &waiting)
        for request in requests { request.end(EIO) }
        owner.snapshotEvent(TargetEvent(.mergeFailed, "\(snapshot.cow.name): the merge has stopped: \(reason)"))
        rest()
    }

    // MARK: A batch

    private func nextBatch() {
        guard !isStopping, snapshot.isValid else { return rest() }
        generation += 1
        let now = generation
        store.readLastSlots(max(1, Self.batchSectors >> snapshot.chunkShift)) { [self] result in
            guard now == generation else { return }
            switch result {
            case .failure(let error): fail(error.reason)
            case .success(nil): finish()
            case .success(let entries?): take(entries)
            }
        }
    }

    private func finish() {
        isFinished = true
        owner.snapshotEvent(TargetEvent(.mergeFinished, "\(snapshot.origin.name): everything has been merged"))
        rest()
    }

    private func take(_ entries: [ExceptionEntry]) {
        for entry in entries where snapshot.exceptions.lookup(entry.old)?.newChunk != entry.new {
            return fail("its list of exceptions has changed on the device: \(entry.old) to \(entry.new) was not loaded")
        }
        let runs = Self.runs(entries)
        keep(runs) { [self] in publish(entries, runs) }
    }

    /// Entries as runs that ascend on both sides.
    static func runs(_ entries: [ExceptionEntry]) -> [ExceptionRun] {
        var runs: [ExceptionRun] = []
        for entry in entries.sorted(by: { $0.old < $1.old }) {
            let next = ExceptionRun(old: entry.old, new: entry.new)
            if let last = runs.last, last.continues(with: next) {
                runs[runs.count - 1].length += 1
            } else {
                runs.append(next)
            }
        }
        return runs
    }

    /// Has the other snapshots of the origin keep what is going to be overwritten.
    private func keep(_ runs: [ExceptionRun], _ done: @escaping () -> Void) {
        guard origin.snapshots.count > 1 else { return done() }
        isKeeping = true
        let now = generation
        var left = runs.count
        for run in runs where now == generation {
            let request = BlockRequest { [self] _ in
                left -= 1
                guard left == 0, now == generation else { return }
                isKeeping = false
                done()
            }
            let chunks = run.old..<run.oldEnd
            request.describe(.write, sector: run.old << snapshot.chunkShift, count: snapshot.sectors(of: chunks))
            origin.keep(request, from: self)
        }
    }

    /// From now on writes to the chunks wait; those that are under way have to end.
    private func publish(_ entries: [ExceptionEntry], _ runs: [ExceptionRun]) {
        batch = Set(entries.map(\.old))
        let touches: (Range<UInt64>) -> Bool = { [batch] chunks in
            chunks.count < batch.count
                ? chunks.contains(where: batch.contains) : batch.contains(where: chunks.contains)
        }
        snapshot.storeWrites.whenClear(touches) { [self] in copy(entries, runs) }
    }

    private func copy(_ entries: [ExceptionEntry], _ runs: [ExceptionRun]) {
        let shift = snapshot.chunkShift
        var left = runs.count
        var fault: String?
        for run in runs {
            let destination = CopyDestination(snapshot.origin, run.old << shift)
            snapshot.copier.copy(
                from: snapshot.cow, sector: run.new << shift, count: snapshot.sectors(of: run.old..<run.oldEnd),
                to: [destination], overlay: []
            ) { [self] readError, writeErrors in
                if readError { fault = "\(snapshot.cow.name): a chunk of the store could not be read" }
                if writeErrors != 0 { fault = "\(snapshot.origin.name): a chunk could not be written" }
                left -= 1
                guard left == 0 else { return }
                if let fault { fail(fault) } else { flush(entries, runs) }
            }
        }
    }

    private func flush(_ entries: [ExceptionEntry], _ runs: [ExceptionRun]) {
        let transfer = DeviceIO { [self] transfer in
            guard transfer.errno == 0 else {
                return fail("\(snapshot.origin.name): flush: \(String(cString: strerror(transfer.errno)))")
            }
            store.clearLastSlots(entries) { [self] result in
                switch result {
                case .failure(let error):
                    snapshot.unclear = Set(entries.map(\.old))
                    fail(error.description)
                case .success:
                    snapshot.unclear = []
                    cleared(runs)
                }
            }
        }
        transfer.describe(.flush, sector: 0, count: 0)
        snapshot.origin.start(transfer)
    }

    private func cleared(_ runs: [ExceptionRun]) {
        for run in runs {
            for chunk in run.old..<run.oldEnd { _ = snapshot.exceptions.remove(old: chunk) }
        }
        release { origin.write($0, to: snapshot.origin, from: snapshot) }
        let left = snapshot.exceptions.count
        if total > 0, left * 10 / total < tenths, left > 0 {
            tenths = left * 10 / total
            let text = "\(snapshot.origin.name): \(left) of \(total) chunks are left to be merged"
            owner.snapshotEvent(TargetEvent(.mergeProgress, text))
        }
        nextBatch()
    }
}
