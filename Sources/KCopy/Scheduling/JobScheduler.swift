import BlockIO
import DequeModule

/// Decides which client, which piece, and when: the copy service without its I/O.
///
/// A pure machine. It is told what happened (a job came, a read ended, time is `now`) and is asked with
/// `next()` what to do, until it answers nil; then `wakeAt` says when to ask again if nothing happens. It
/// keeps one lane's clients.
///
/// Who is served: the highest priority that has a ready client, except that every sixteenth piece goes to
/// the lowest, so that nobody waits for ever. Among the clients of a priority turns are dealt by bytes (deficit
/// round robin), so that a client with small jobs is not behind one with large ones; among the jobs of a client
/// turns are dealt by the piece. How much is under way at once is bounded by the lane's window: what is
/// claimed is in the devices' queues, and a newcomer waits behind it. One piece of every client is allowed beyond it.
struct JobScheduler {
    /// What the lane has to do.
    enum Action: Equatable {
        /// Read a piece.
        case read(Int)
        /// Read a piece and let its only write follow by itself.
        case readThenWrite(Int)
        /// Lay the overlay over a piece and write it, or write zeroes, to all destinations; answer with `writesStarted`.
        case write(Int)
        /// Read a destination of a written piece back and compare.
        case readBack(Int, destination: Int)
        /// Find out where data and holes are from this sector of a job on.
        case map(Int, from: UInt64)
        /// Flush the destinations of a job.
        case flush(Int)
        /// Tell the result of a job.
        case finish(Int)
    }

    /// Bytes of pieces under way in a lane.
    static let window = 16 << 20
    /// What the first priority may use beyond the window.
    static let reserve = 4 << 20
    /// A turn's worth of bytes.
    static let turn = 512 << 10
    /// A piece of zeroes where devices zero by themselves, in sectors, and what it weighs.
    static let zeroSectors: UInt64 = (16 << 20) / 512
    static let zeroWeight = 64 << 10
    /// Every so many pieces the lowest priority is asked first.
    static let courtesy = 16
    /// With so few known extents left the next ones are looked for.
    static let fewExtents = 32

    var now: Nanoseconds
    var clients = Slots<ScheduledClient>()
    var jobs = Slots<ScheduledJob>()
    var pieces = Slots<Piece>()
    var actions: Deque<Action> = []

    private let depth: Int
    /// Clients that sleep, or did lately.
    private var sleepers: [Int] = []
    private var ready: [Deque<Int>] = Array(repeating: [], count: CopyPriority.allCases.count)
    private var bytesInFlight = 0
    private var operationsInFlight = 0
    private var claimed = 0

    /// - Parameter depth: operations that the engine takes at once.
    init(depth: Int, now: Nanoseconds) {
        self.depth = depth
        self.now = now
    }

    // MARK: Clients and jobs

    mutating func addClient(pages: Int, priority: CopyPriority, rate: CopyRate) -> Int {
        clients.insert(ScheduledClient(pages: pages, priority: priority, rate: rate, now: now))
    }

    /// Takes a client out; its jobs have finished.
    mutating func removeClient(_ client: Int) {
        let gone = clients.remove(client)
        precondition(gone.unfinished == 0, "client \(client) leaves with \(gone.unfinished) jobs")
        ready[gone.priority.rawValue].removeAll { $0 == client }
        sleepers.removeAll { $0 == client }
    }

    mutating func setRate(_ client: Int, _ rate: CopyRate) {
        clients[client].throttle.set(rate, now: now)
        switch clients[client].state {
        case .idle, .ready: break
        case .starved, .sleeping, .held: makeReady(client)
        }
    }

    /// Takes a job; with nothing to do it finishes at once.
    mutating func addJob(client: Int, shape: JobShape) -> Int {
        let job = jobs.insert(ScheduledJob(client: client, shape: shape))
        clients[client].unfinished += 1
        if shape.count == 0 { finish(job) } else { enqueue(job) }
        return job
    }

    /// Claims no more pieces of a job; it finishes when those under way have ended.
    mutating func cancel(_ job: Int) {
        guard jobs[job].phase == .running, jobs[job].hasUnclaimed else { return }
        jobs[job].result.isCancelled = true
        jobs[job].stopping = true
        settle(job)
    }

    /// Takes the result of a job whose `finish` was answered, and forgets the job.
    mutating func takeResult(_ job: Int) -> CopyResult {
        let gone = jobs.remove(job)
        precondition(gone.phase == .finished, "the result of job \(job) taken in phase \(gone.phase)")
        clients[gone.client].unfinished -= 1
        var result = gone.result
        result.resumeAt = gone.prefix.end
        return result
    }

    /// What was found out about a job's source; extents follow each other without a gap.
    mutating func mapped(_ job: Int, _ extents: [Extent]) {
        jobs[job].isMapping = false
        jobs[job].extents.append(contentsOf: extents)
        if jobs[job].hasUnclaimed { enqueue(job) } else { settle(job) }
    }

    // MARK: Choosing

    /// The next thing to do, nil when there is none for now.
    mutating func next() -> Action? {
        // A piece that waits for its turn is claimed without anything to be done yet.
        while actions.isEmpty, claim() {}
        return actions.popFirst()
    }

    /// When to ask again though nothing happens.
    var wakeAt: Nanoseconds? {
        sleepers.lazy.compactMap { index in
            if case .sleeping(let time) = clients[index].state { time } else { nil }
        }.min()
    }

    /// Lets the clients whose time has come claim again.
    mutating func wakeSleepers() {
        guard !sleepers.isEmpty else { return }
        let asleep = sleepers
        sleepers = []
        for client in asleep {
            guard case .sleeping(let time) = clients[client].state else { continue }
            if time <= now { makeReady(client) } else { sleepers.append(client) }
        }
    }

    /// Claims a piece; false where nobody can.
    private mutating func claim() -> Bool {
        let all = CopyPriority.allCases
        let order = claimed % Self.courtesy == Self.courtesy - 1 ? all.reversed() : all
        for priority in order where claim(priority) {
            claimed += 1
            return true
        }
        return false
    }

    /// Claims a piece for a client of this priority, if there is one that can go on.
    private mutating func claim(_ priority: CopyPriority) -> Bool {
        let room = Self.window + (priority == .copyOnWrite ? Self.reserve : 0)
        while let client = ready[priority.rawValue].first {
            if bytesInFlight >= room || operationsInFlight >= depth { return claimForIdle(priority) }
            if clients[client].deficit <= 0 {
                clients[client].deficit += Self.turn
                ready[priority.rawValue].append(ready[priority.rawValue].removeFirst())
                continue
            }
            if claim(client: client) { return true }
            ready[priority.rawValue].removeFirst()
            clients[client].deficit = 0
        }
        return false
    }

    /// Claims a piece for a client that has none under way: the full window does not stop it, for what fills that may be
    /// on a device that answers slowly, or never.
    private mutating func claimForIdle(_ priority: CopyPriority) -> Bool {
        while let place = ready[priority.rawValue].firstIndex(where: { clients[$0].inFlight == 0 }) {
            let client = ready[priority.rawValue].remove(at: place)
            if claim(client: client) {
                ready[priority.rawValue].append(client)
                return true
            }
            clients[client].deficit = 0
        }
        return false
    }

    /// Claims the next piece of a client, or notes what it waits for.
    private mutating func claim(client: Int) -> Bool {
        switch clients[client].throttle.admission(now: now) {
        case .now: break
        case .at(let time): return wait(client, .sleeping(time))
        case .afterCompletion: return wait(client, .starved)
        case .held: return wait(client, .held)
        }
        while let job = clients[client].jobs.first {
            guard jobs[job].hasUnclaimed, let stretch = nextStretch(job) else {
                clients[client].jobs.removeFirst()
                jobs[job].isQueued = false
                continue
            }
            guard let piece = makePiece(job, stretch) else { return wait(client, .starved) }
            clients[client].jobs.removeFirst()
            if jobs[job].hasUnclaimed { clients[client].jobs.append(job) } else { jobs[job].isQueued = false }
            start(piece)
            return true
        }
        return wait(client, .idle)
    }

    private mutating func wait(_ client: Int, _ state: ScheduledClient.State) -> Bool {
        clients[client].state = state
        if case .sleeping = state, !sleepers.contains(client) { sleepers.append(client) }
        return false
    }

    private mutating func makeReady(_ client: Int) {
        clients[client].state = .ready
        ready[clients[client].priority.rawValue].append(client)
    }

    private mutating func enqueue(_ job: Int) {
        guard !jobs[job].isQueued else { return }
        let client = jobs[job].client
        jobs[job].isQueued = true
        clients[client].jobs.append(job)
        if clients[client].state == .idle { makeReady(client) }
    }

    /// A client that waited for pages or for its share of time looks again.
    mutating func pieceOfClientEnded(_ client: Int) {
        if clients[client].state == .starved { makeReady(client) }
    }

    // MARK: Cutting

    /// The next unclaimed sectors that are all data or all zeroes; nil while that has to be found out.
    private mutating func nextStretch(_ job: Int) -> (count: UInt64, isZero: Bool)? {
        let left = jobs[job].shape.count - jobs[job].cursor
        if jobs[job].shape.isZero { return (left, true) }
        guard jobs[job].flags.contains(.skipHoles) else { return (left, false) }
        while let extent = jobs[job].extents.first, extent.end <= jobs[job].cursor { jobs[job].extents.removeFirst() }
        mapAhead(job)
        return jobs[job].extents.first.map { (min($0.end - jobs[job].cursor, left), $0.isHole) }
    }

    /// Has more of a source looked at before what is known of it runs out.
    private mutating func mapAhead(_ job: Int) {
        let known = jobs[job].extents.last?.end ?? jobs[job].cursor
        guard jobs[job].extents.count < Self.fewExtents, known < jobs[job].shape.count, !jobs[job].isMapping else {
            return
        }
        jobs[job].isMapping = true
        actions.append(.map(job, from: known))
    }

    /// Cuts a piece off a stretch; nil where its pages are not free.
    private mutating func makePiece(_ job: Int, _ stretch: (count: UInt64, isZero: Bool)) -> Int? {
        let client = jobs[job].client
        let shape = jobs[job].shape
        let block = shape.blockSectors
        let full = max(clients[client].pieceSectors / block * block, block)
        let verify = shape.flags.contains(.verify)
        let long =
            stretch.isZero && shape.zeroesAreCheap && !verify && clients[client].throttle.rate.bytesPerSecond == nil
        let count = min(stretch.count, long ? Self.zeroSectors : full)
        var run: PageBudget.Run?
        if !stretch.isZero || verify {
            run = clients[client].budget.take(Int((count + 7) / 8))
            if run == nil { return nil }
        }
        let range = SectorRange(start: jobs[job].cursor, count: count)
        let covered = shape.overlay.contains { $0.start <= range.start && range.end <= $0.end }
        // An overlay is laid over the piece between its read and its write.
        let linked =
            !stretch.isZero && shape.destinations == 1 && shape.overlay.isEmpty
            && shape.flags.isDisjoint(with: [.verify, .detectZeroes, .sequential])
        let piece = Piece(
            job: job, client: client, range: range, pages: run, isZero: stretch.isZero, isCovered: covered,
            isLinked: linked,
            weight: long ? Self.zeroWeight : Int(count) * Sector.size,
            operations: max(linked ? 2 : 1, shape.destinations), stage: stretch.isZero || covered ? .writing : .reading)
        jobs[job].cursor += count
        jobs[job].inFlight += 1
        return pieces.insert(piece)
    }

    private mutating func start(_ index: Int) {
        let piece = pieces[index]
        clients[piece.client].throttle.started(bytes: piece.range.count << UInt64(Sector.shift), now: now)
        clients[piece.client].deficit -= piece.weight
        clients[piece.client].inFlight += 1
        bytesInFlight += piece.weight
        operationsInFlight += piece.operations
        if piece.isZero || piece.isCovered {
            takeTurn(index)
        } else if piece.isLinked {
            pieces[index].outstanding = 1
            actions.append(.readThenWrite(index))
        } else {
            actions.append(.read(index))
        }
    }

    /// Gives back what a piece weighed.
    mutating func unload(_ piece: Piece) {
        bytesInFlight -= piece.weight
        operationsInFlight -= piece.operations
    }
}
