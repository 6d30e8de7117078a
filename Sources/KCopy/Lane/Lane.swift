import BlockIO
import Dispatch
import Synchronization
import SystemPackage

/// A serial queue with an engine of its own: does what its scheduler decides for the clients that belong to it.
///
/// Everything but the inbox is touched on the lane's queue only. Commands go through the inbox, so that a burst of them
/// wakes the lane once. A round on the queue (`serve`) takes commands and completions and starts what the scheduler
/// wants. While completions follow each other closely it waits for them in the engine, for a slice of time at most, so
/// that whatever else was put on the queue has its turn; otherwise it returns, and the engine's source, the timer or a
/// command starts the next round.
final class Lane: IOQueueClient, @unchecked Sendable {  // all state but `inbox` belongs to `queue`
    /// What the lane is asked for from outside.
    enum Command: Sendable {
        case submit(CopyJob)
        case cancel(CopyJob)
        case cancelAll(CopyClient)
        /// The client has another rate.
        case setRate(CopyClient)
        case mapped(Int, [Extent])
        case ping(@Sendable () -> Void)
    }

    /// A client's memory as the engine knows it.
    struct Member {
        let client: CopyClient
        let memorySlot: Int32
        var ended: [(CopyJob, CopyResult)] = []
    }

    /// Where a region begins, as the engine knows it.
    struct Place {
        let device: AttachedDevice
        /// In bytes.
        let start: UInt64
    }

    /// What the I/O of a job needs.
    struct Running {
        let job: CopyJob
        let source: Place?
        let destinations: [Place]
        /// Its client's memory.
        let memory: MemorySlice
    }

    let engineName: String
    /// Why the lane has no ring though one would have been taken.
    let ringRefusal: BlockError?
    let queue: DispatchQueue
    let io: IOQueue
    var scheduler: JobScheduler
    var members = Table<Member>()
    var running = Table<Running>()
    /// What was written of a piece that is going to be verified.
    var digests = Table<BufferDigest>()

    private static let onLane = DispatchSpecificKey<ObjectIdentifier>()
    /// How a command reaches the lane.
    private enum Doorway {
        /// By a round that has to be put on the queue.
        case closed
        /// By a round that is on its way, or looks into the inbox before it waits.
        case open
        /// By interrupting a wait in the engine.
        case bell
    }

    private struct Inbox {
        var commands: [Command] = []
        var doorway = Doorway.closed
    }

    /// How long a round may stay on the queue, and how long it waits for a completion before it gives up.
    private static let slice: Nanoseconds = 2_000_000
    private static let mostPatience: Nanoseconds = 200_000

    private let inbox = Mutex(Inbox())
    private let mapping = DispatchQueue(label: "io.ucopyd.lane.mapping", qos: .utility, attributes: .concurrent)
    private let timer: any DispatchSourceTimer
    private var armedFor: Nanoseconds?
    private var attached: [UInt64: AttachedDevice] = [:]
    private var withResults: [Int] = []
    private var isPumping = false
    private var isShutDown = false

    convenience init(engine choice: EngineChoice) throws(BlockError) {
        let queue = Self.makeQueue()
        var ring: RingEngine?
        var refusal: BlockError?
        if choice != .blocking {
            do { ring = try RingEngine(queue: queue) } catch {
                if choice == .uring { throw error }
                refusal = error
            }
        }
        let name = (ring == nil ? EngineChoice.blocking : .uring).rawValue
        self.init(queue: queue, engine: ring ?? BlockingEngine(queue: queue), name: name, ringRefusal: refusal)
    }

    /// A lane on a queue of `makeQueue` with an engine that belongs to that queue.
    init(queue: DispatchQueue, engine: any IOEngine, name: String, ringRefusal: BlockError? = nil) {
        self.queue = queue
        self.ringRefusal = ringRefusal
        engineName = name
        io = IOQueue(engine: engine)
        scheduler = JobScheduler(depth: io.depth, now: DispatchTime.now().uptimeNanoseconds)
        timer = DispatchSource.makeTimerSource(queue: queue)
        queue.setSpecific(key: Self.onLane, value: ObjectIdentifier(self))
        io.client = self
        // Lane and timer hold each other until shutdown(). Weak references would slow every use of the lane down.
        timer.setEventHandler {
            self.armedFor = nil
            self.serve()
        }
        timer.activate()
    }

    /// Whether the caller runs on the queue of a lane, whichever it is.
    static var isCurrent: Bool { DispatchQueue.getSpecific(key: onLane) != nil }

    static func makeQueue() -> DispatchQueue { DispatchQueue(label: "io.ucopyd.lane", qos: .userInitiated) }

    func shutdown() {
        queue.sync {
            precondition(members.count == 0, "\(members.count) clients at shutdown")
            timer.setEventHandler {}
            timer.cancel()
            for device in attached.values { io.detach(device) }
            attached = [:]
            isShutDown = true
            io.shutdown()
        }
    }

    // MARK: Commands

    /// Asks for something.
    func post(_ command: Command) {
        let doorway = inbox.withLock { inbox in
            inbox.commands.append(command)
            defer { inbox.doorway = .open }
            return inbox.doorway
        }
        switch doorway {
        case .closed: queue.async { self.serve() }
        case .open: break
        case .bell: io.interrupt()
        }
    }

    /// Takes a client in. Waits for the lane.
    func add(_ client: CopyClient, rate: CopyRate) {
        queue.sync {
            scheduler.now = DispatchTime.now().uptimeNanoseconds
            let index = scheduler.addClient(pages: client.pages, priority: client.priority, rate: rate)
            client.laneIndex.store(index, ordering: .relaxed)
            members[index] = Member(client: client, memorySlot: io.attach(client.memory))
        }
    }

    /// Lets a client go that has no jobs, unless it has gone already. Waits for the lane.
    func remove(_ client: CopyClient) {
        queue.sync {
            guard let index = index(of: client), let member = members[index] else { return }
            client.laneIndex.store(-1, ordering: .relaxed)
            members[index] = nil
            scheduler.removeClient(index)
            io.detach(memorySlot: member.memorySlot)
        }
    }

    /// Takes the commands; without any, new ones will find the doorway as given. True if there were some.
    private func takeCommands(otherwise doorway: Doorway) -> Bool {
        let commands = inbox.withLock { inbox in
            var taken: [Command] = []
            swap(&taken, &inbox.commands)
            inbox.doorway = taken.isEmpty ? doorway : .open
            return taken
        }
        guard !commands.isEmpty else { return false }
        scheduler.now = DispatchTime.now().uptimeNanoseconds
        for command in commands { take(command) }
        return true
    }

    private func take(_ command: Command) {
        switch command {
        case .submit(let job): submit(job)
        case .cancel(let job):
            if let index = job.index { scheduler.cancel(index) }
        case .setRate(let client):
            if let index = index(of: client) { scheduler.setRate(index, client.rate) }
        case .cancelAll(let client):
            for entry in running.all where entry.job.client === client {
                if let index = entry.job.index { scheduler.cancel(index) }
            }
        case .mapped(let job, let extents): scheduler.mapped(job, extents)
        case .ping(let answer): answer()
        }
    }

    /// The scheduler's number of a client, while it is a member.
    private func index(of client: CopyClient) -> Int? {
        let index = client.laneIndex.load(ordering: .relaxed)
        return index < 0 ? nil : index
    }

    private func submit(_ job: CopyJob) {
        guard let client = index(of: job.client) else {
            preconditionFailure("a job of client \(job.client.name), which is no member of its lane")
        }
        guard let member = members[client] else { preconditionFailure("client \(client) has no memory") }
        let entry = Running(
            job: job, source: job.source.map(place), destinations: job.destinations.map(place),
            memory: MemorySlice(address: member.client.memory.base, slot: member.memorySlot))
        let index = scheduler.addJob(
            client: client,
            shape: JobShape(
                count: job.total, isZero: job.source == nil, destinations: job.destinations.count,
                blockSectors: RegionRules.blockSectors(job.regions),
                zeroesAreCheap: job.destinations.allSatisfy { $0.device.geometry.canWriteZeroes }, flags: job.flags,
                overlay: job.overlay?.sectors ?? []))
        job.index = index
        running[index] = entry
    }

    private func place(_ region: IORegion) -> Place {
        Place(device: attach(region.device), start: region.range.start << UInt64(Sector.shift))
    }

    /// The engine's name for a device, which it keeps until the device is closed.
    private func attach(_ device: BlockDevice) -> AttachedDevice {
        if let known = attached[device.id] { return known }
        let new = io.attach(device)
        attached[device.id] = new
        device.onClose { id in self.detach(id) }
        return new
    }

    /// Forgets a device, before the caller goes on; it may be the lane itself that let go of the last reference. For
    /// another lane, which must not wait for this one, it is done soon.
    private func detach(_ id: UInt64) {
        switch DispatchQueue.getSpecific(key: Self.onLane) {
        case nil: queue.sync { forget(id) }
        case ObjectIdentifier(self): forget(id)
        default: queue.async { self.forget(id) }
        }
    }

    private func forget(_ id: UInt64) {
        if let gone = attached.removeValue(forKey: id) { io.detach(gone) }
    }

    // MARK: Work

    /// One round.
    private func serve() {
        guard !isShutDown else {
            // The engine is gone. What still comes concerns jobs and clients that have ended.
            while takeCommands(otherwise: .closed) {}
            return
        }
        let end = DispatchTime.now().uptimeNanoseconds + Self.slice
        _ = io.take()
        while true {
            _ = takeCommands(otherwise: .open)
            pump()
            // What completions ask for here finds the doorway open: the next look into the inbox takes it.
            deliver()
            if takeCommands(otherwise: io.inFlight > 0 ? .bell : .closed) { continue }
            guard io.inFlight > 0 else { break }
            // A few at a time: a return from the kernel costs as much as a completion brings.
            let some = io.wait(count: max(1, min(io.inFlight / 4, 32)), nanoseconds: patience)
            if !some {
                if takeCommands(otherwise: .closed) { continue }
                break
            }
            inbox.withLock { $0.doorway = .open }
            if scheduler.now >= end {
                // Another round, behind what else is on the queue.
                io.submit()
                deliver()
                queue.async { self.serve() }
                break
            }
        }
        armTimer()
    }

    /// How long to wait for completions: no longer than until a sleeper wakes.
    private var patience: Nanoseconds {
        guard let wake = scheduler.wakeAt else { return Self.mostPatience }
        return min(Self.mostPatience, max(wake, scheduler.now) - scheduler.now)
    }

    /// Does everything that the scheduler wants done now.
    private func pump() {
        // Submitting may take completions, and they lead here again: the outer call goes on with them.
        guard !isPumping else { return }
        isPumping = true
        scheduler.now = DispatchTime.now().uptimeNanoseconds
        scheduler.wakeSleepers()
        while let action = scheduler.next() { perform(action) }
        isPumping = false
    }

    func batchEnded() { pump() }

    func ready() { serve() }

    /// Looks for data and holes off the lane: a file system may take its time.
    func map(_ index: Int, from sector: UInt64) {
        let job = entry(index).job
        guard let source = job.source else { preconditionFailure("job \(job.id) has no source to map") }
        let start = source.range.start + sector
        let alignment = scheduler.jobs[index].shape.blockSectors
        mapping.async {
            let found = source.device.stretches(
                in: SectorRange(start: start, count: source.range.end - start), alignment: alignment, limit: 128)
            let extents = found.map { Extent(end: $0.end - source.range.start, isHole: $0.isHole) }
            self.post(.mapped(index, extents))
        }
    }

    /// Takes the result of a job and keeps it until the end of the round.
    func finish(_ index: Int) {
        let job = entry(index).job
        job.done.store(scheduler.jobs[index].done, ordering: .relaxed)
        let client = scheduler.jobs[index].client
        let result = scheduler.takeResult(index)
        running[index] = nil
        job.index = nil
        if members[client]?.ended.isEmpty == true { withResults.append(client) }
        members[client]?.ended.append((job, result))
    }

    /// The entry of a job that the scheduler knows.
    func entry(_ index: Int) -> Running {
        guard let entry = running[index] else { preconditionFailure("no job under number \(index)") }
        return entry
    }

    private func deliver() {
        for client in withResults {
            guard let ended = members[client]?.ended else { continue }
            members[client]?.ended = []
            members[client]?.client.deliver(ended)
        }
        withResults.removeAll(keepingCapacity: true)
    }

    private func armTimer() {
        let wake = scheduler.wakeAt
        guard wake != armedFor else { return }
        armedFor = wake
        timer.schedule(
            deadline: wake.map { DispatchTime(uptimeNanoseconds: $0) } ?? .distantFuture, leeway: .microseconds(100))
    }
}
