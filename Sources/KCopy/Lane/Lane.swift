import BlockIO
import Dispatch
import Synchronization
import SystemPackage

/// A serial queue with an engine of its own: does what its scheduler decides for the clients that belong to it.
///
/// Everything but the inbox is touched on the lane's queue only. Commands go through the inbox, so that a burst of them
/// wakes the lane once.
final class Lane: @unchecked Sendable {  // all state but `inbox` belongs to `queue`
    /// What the lane is asked for from outside.
    enum Command: Sendable {
        case submit(CopyJob)
        case cancel(CopyJob)
        case setRate(CopyClient, CopyRate)
        case mapped(Int, [Extent])
        case ping(@Sendable () -> Void)
    }

    /// A client's memory as the engine knows it.
    struct Member {
        let client: CopyClient
        let memorySlot: Int32
        var ended: [(CopyJob, CopyResult)] = []
    }

    /// A job's devices as the engine knows them.
    struct Running {
        let job: CopyJob
        let source: AttachedDevice?
        let destinations: [AttachedDevice]
    }

    let engineName: String
    let queue = DispatchQueue(label: "io.ucopyd.lane", qos: .userInitiated)
    let io: IOQueue
    var scheduler: JobScheduler
    var members: [Int: Member] = [:]
    var running: [Running?] = []
    /// What was written of a piece that is going to be verified.
    var digests: [Int: BufferDigest] = [:]

    private static let onLane = DispatchSpecificKey<ObjectIdentifier>()
    private let inbox = Mutex<[Command]>([])
    private let mapping = DispatchQueue(label: "io.ucopyd.lane.mapping", qos: .utility, attributes: .concurrent)
    private let timer: any DispatchSourceTimer
    private var armedFor: Nanoseconds?
    private var clientIndex: [ObjectIdentifier: Int] = [:]
    private var attached: [UInt64: AttachedDevice] = [:]
    private var withResults: [Int] = []
    private var isPumping = false

    init(engine choice: EngineChoice) throws(BlockError) {
        let (engine, name) = try Self.makeEngine(choice, queue)
        engineName = name
        io = try IOQueue(engine: engine)
        scheduler = JobScheduler(depth: io.depth, now: DispatchTime.now().uptimeNanoseconds)
        timer = DispatchSource.makeTimerSource(queue: queue)
        queue.setSpecific(key: Self.onLane, value: ObjectIdentifier(self))
        io.client = self
        timer.setEventHandler { [weak self] in
            self?.armedFor = nil
            self?.pump()
        }
        timer.activate()
    }

    private static func makeEngine(
        _ choice: EngineChoice, _ queue: DispatchQueue
    ) throws(BlockError) -> (any IOEngine, String) {
        if choice != .blocking {
            do { return (try RingEngine(queue: queue), EngineChoice.uring.rawValue) } catch {
                if choice == .uring { throw error }
            }
        }
        return (BlockingEngine(queue: queue), EngineChoice.blocking.rawValue)
    }

    func shutdown() {
        queue.sync {
            precondition(members.isEmpty, "\(members.count) clients at shutdown")
            timer.cancel()
            io.shutdown()
        }
    }

    // MARK: Commands

    /// Asks for something.
    func post(_ command: Command) {
        let wake = inbox.withLock { inbox in
            inbox.append(command)
            return inbox.count == 1
        }
        if wake { queue.async { self.takeCommands() } }
    }

    /// Takes a client in. Waits for the lane.
    func add(_ client: CopyClient, rate: CopyRate) {
        queue.sync {
            scheduler.now = DispatchTime.now().uptimeNanoseconds
            let index = scheduler.addClient(pages: client.pages, priority: client.priority, rate: rate)
            clientIndex[ObjectIdentifier(client)] = index
            members[index] = Member(client: client, memorySlot: io.attach(client.memory))
        }
    }

    /// Lets a client go that has no jobs. Waits for the lane.
    func remove(_ client: CopyClient) {
        queue.sync {
            takeCommands()
            guard let index = clientIndex.removeValue(forKey: ObjectIdentifier(client)),
                let member = members.removeValue(forKey: index)
            else { preconditionFailure("client \(client.name) is no member of its lane") }
            scheduler.removeClient(index)
            io.detach(memorySlot: member.memorySlot)
        }
    }

    private func takeCommands() {
        let commands = inbox.withLock { inbox in
            var taken: [Command] = []
            swap(&taken, &inbox)
            return taken
        }
        scheduler.now = DispatchTime.now().uptimeNanoseconds
        for command in commands { take(command) }
        pump()
    }

    private func take(_ command: Command) {
        switch command {
        case .submit(let job): submit(job)
        case .cancel(let job):
            if let index = job.index { scheduler.cancel(index) }
        case .setRate(let client, let rate):
            if let index = clientIndex[ObjectIdentifier(client)] { scheduler.setRate(index, rate) }
        case .mapped(let job, let extents): scheduler.mapped(job, extents)
        case .ping(let answer): answer()
        }
    }

    private func submit(_ job: CopyJob) {
        guard let client = clientIndex[ObjectIdentifier(job.client)] else {
            preconditionFailure("a job of client \(job.client.name), which is no member of its lane")
        }
        let entry = Running(
            job: job, source: job.source.map { attach($0.device) },
            destinations: job.destinations.map { attach($0.device) })
        let regions = (job.source.map { [$0] } ?? []) + job.destinations
        let index = scheduler.addJob(
            client: client,
            shape: JobShape(
                count: job.total, isZero: job.source == nil, destinations: job.destinations.count,
                blockSectors: RegionRules.blockSectors(regions),
                zeroesAreCheap: job.destinations.allSatisfy { $0.device.geometry.canWriteZeroes }, flags: job.flags))
        job.index = index
        while running.count <= index { running.append(nil) }
        running[index] = entry
    }

    /// The engine's name for a device, which it keeps until the device is closed.
    private func attach(_ device: BlockDevice) -> AttachedDevice {
        if let known = attached[device.id] { return known }
        let new = io.attach(device)
        attached[device.id] = new
        device.onClose { [weak self] id in self?.detach(id) }
        return new
    }

    /// Forgets a device, before the caller goes on; it may be the lane itself that let go of the last reference.
    private func detach(_ id: UInt64) {
        if DispatchQueue.getSpecific(key: Self.onLane) == ObjectIdentifier(self) {
            forget(id)
        } else {
            queue.sync { forget(id) }
        }
    }

    private func forget(_ id: UInt64) {
        if let gone = attached.removeValue(forKey: id) { io.detach(gone) }
    }

    // MARK: Work

    /// Does everything that the scheduler wants done now.
    func pump() {
        // Submitting may take completions, and they lead here again: the outer call goes on with them.
        guard !isPumping else { return }
        isPumping = true
        scheduler.now = DispatchTime.now().uptimeNanoseconds
        scheduler.wakeSleepers()
        while let action = scheduler.next() { perform(action) }
        io.submit()
        isPumping = false
        deliver()
        armTimer()
    }

    /// Looks for data and holes off the lane: a file system may take its time.
    func map(_ index: Int, from sector: UInt64) {
        let job = entry(index).job
        guard let source = job.source else { preconditionFailure("job \(job.id) has no source to map") }
        let start = source.range.start + sector
        let alignment = scheduler.jobs[index].shape.blockSectors
        mapping.async {
            let found = source.device.stretches(
                in: SectorRange(start: start, count: source.range.end - start), alignment: alignment, limit: 64)
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
        timer.schedule(deadline: wake.map { DispatchTime(uptimeNanoseconds: $0) } ?? .distantFuture, leeway: .microseconds(100))
    }
}
