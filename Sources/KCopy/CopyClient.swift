import BlockIO
import Dispatch
import Synchronization
import SystemPackage

/// A client of the copy service: a page budget, set aside for good, and the jobs that live on it.
///
/// Completions come one at a time, in the order in which the jobs ended, and need no lock among themselves. They run on a
/// queue of the client's own, or on its lane's: see `CompletionPlace`. A completion may submit new jobs.
public final class CopyClient: Sendable {
    /// The largest budget: 1 GiB, what one registered buffer may hold.
    public static let mostPages = 262_144

    /// What messages and listings call it.
    public let name: String
    /// Its budget in 4 KiB pages.
    public let pages: Int
    /// Whose jobs go before its, and whose after.
    public let priority: CopyPriority
    /// Where its completions run.
    public let completions: CompletionPlace

    let lane: Lane
    let memory: PageMemory
    /// The lane's number of this client, -1 while it has none; used on the lane's queue.
    let laneIndex = Atomic<Int>(-1)
    /// The queue of the completions: its own, or the lane's.
    let callbacks: DispatchQueue
    private static let onCallbacks = DispatchSpecificKey<ObjectIdentifier>()

    private struct State {
        var rate: CopyRate
        var closing = false
    }
    private let state: Mutex<State>
    private let jobs = DispatchGroup()

    /// Sets a budget aside.
    /// - Parameters:
    ///   - pages: 4 KiB pages, 1 to `mostPages`.
    ///   - name: what messages and listings call it.
    ///   - rate: its limits from the start.
    ///   - completions: where its completions run.
    /// - Throws: `.invalidArgument` for a number of pages out of range, `.noResources` where memory is short.
    public init(
        service: CopyService, pages: Int, name: String = "client", priority: CopyPriority = .resync,
        rate: CopyRate = .unlimited, completions: CompletionPlace = .onOwnQueue
    ) throws(CopyError) {
        guard (1...Self.mostPages).contains(pages) else {
            throw CopyError(
                .invalidArgument, name, .invalidArgument,
                "a budget of \(pages) pages: 1 to \(Self.mostPages) are possible")
        }
        do { memory = try PageMemory(pages: pages) } catch { throw CopyError(error) }
        self.name = name
        self.pages = pages
        self.priority = priority
        self.completions = completions
        state = Mutex(State(rate: rate))
        lane = service.nextLane()
        switch completions {
        case .onOwnQueue:
            callbacks = DispatchQueue(label: "io.ucopyd.client.\(name)", qos: priority.qos)
            callbacks.setSpecific(key: Self.onCallbacks, value: ObjectIdentifier(self))
        case .onLane: callbacks = lane.queue
        }
        lane.add(self, rate: rate)
    }

    /// Whether the budget is locked in memory; false where RLIMIT_MEMLOCK forbids it.
    public var isLocked: Bool { memory.isLocked }

    // MARK: Jobs

    /// Copies a region to 1 to 8 others of the same length.
    /// - Parameters:
    ///   - overlay: bytes that are laid over what was read, and whose memory is left alone until the completion.
    ///   - completion: called once, where the client's completions run.
    /// - Throws: the rule that is broken; nothing was started then, and the completion is not called.
    @discardableResult
    public func copy(
        from source: IORegion, to destinations: [IORegion], flags: CopyFlags = [], overlay: CopyOverlay? = nil,
        completion: @escaping @Sendable (CopyResult) -> Void
    ) throws(CopyError) -> CopyJob {
        try submit(source, destinations, flags, overlay, completion)
    }

    /// Writes zeroes to 1 to 8 regions of the same length, where a device can by its own write-zeroes.
    /// - Parameter completion: called once, where the client's completions run.
    /// - Throws: the rule that is broken; nothing was started then, and the completion is not called.
    @discardableResult
    public func zero(
        _ regions: [IORegion], flags: CopyFlags = [], completion: @escaping @Sendable (CopyResult) -> Void
    ) throws(CopyError) -> CopyJob {
        try submit(nil, regions, flags, nil, completion)
    }

    private func submit(
        _ source: IORegion?, _ destinations: [IORegion], _ flags: CopyFlags, _ overlay: CopyOverlay?,
        _ completion: @escaping @Sendable (CopyResult) -> Void
    ) throws(CopyError) -> CopyJob {
        let regions = source.map { [$0] + destinations } ?? destinations
        try RegionRules.check(regions, hasSource: source != nil, flags: flags, pages: pages)
        if let overlay { try RegionRules.check(overlay, sectors: destinations[0].range.count) }
        // As in kcopyd: a zone is written from its start on, whatever was asked for.
        let isZoned = destinations.contains { $0.device.geometry.isZoned }
        let flags = isZoned ? flags.union(.sequential) : flags
        let job = CopyJob(
            client: self, regions: regions, source: source, destinations: destinations, flags: flags,
            overlay: overlay, completion: completion)
        let closing = state.withLock { state in
            if !state.closing { jobs.enter() }
            return state.closing
        }
        if closing { throw CopyError(.closed, name, .badFileDescriptor, "the client is being destroyed") }
        do { try beginUse(of: regions) } catch {
            jobs.leave()
            throw CopyError(error)
        }
        lane.post(.submit(job))
        return job
    }

    private func beginUse(of regions: [IORegion]) throws(BlockError) {
        for (index, region) in regions.enumerated() {
            do { try region.device.beginUse() } catch {
                for begun in regions[..<index] { begun.device.endUse() }
                throw error
            }
        }
    }

    /// Tells the results of jobs that have ended, in this order. Called by the lane.
    func deliver(_ ended: [(CopyJob, CopyResult)]) {
        switch completions {
        case .onOwnQueue: callbacks.async { self.tell(ended) }
        case .onLane: tell(ended)
        }
    }

    private func tell(_ ended: [(CopyJob, CopyResult)]) {
        for (job, result) in ended {
            for region in job.regions { region.device.endUse() }
            job.completion(result)
            jobs.leave()
        }
    }

    /// Cancels every job that has not ended.
    public func cancelAll() {
        lane.post(.cancelAll(self))
    }

    // MARK: Rate

    /// The limits in force.
    public var rate: CopyRate { state.withLock { $0.rate } }

    /// Changes the limits, of jobs under way too.
    public func setRate(_ rate: CopyRate) {
        let open = state.withLock { state in
            if !state.closing { state.rate = rate }
            return !state.closing
        }
        if open { lane.post(.setRate(self)) }
    }

    // MARK: End

    /// Takes no new jobs, waits until the last completion has returned, and gives the pages back.
    ///
    /// A rate that holds the jobs is lifted, or this would wait for ever. Called by a completion of this very client it
    /// cannot wait for that one, and called by any completion on a lane it must not wait for that lane: it returns at once
    /// then, and the rest happens in the background. Another call, from elsewhere, waits for that too.
    public func destroy() {
        state.withLock { state in
            state.closing = true
            let isHeld = state.rate.percent == 0 || state.rate.bytesPerSecond == 0
            if isHeld { state.rate = .unlimited }
        }
        lane.post(.setRate(self))
        if Lane.isCurrent || DispatchQueue.getSpecific(key: Self.onCallbacks) == ObjectIdentifier(self) {
            DispatchQueue.global().async { self.finish() }
        } else {
            finish()
        }
    }

    private func finish() {
        jobs.wait()
        lane.remove(self)
        memory.release()
    }
}

extension CopyPriority {
    /// The Dispatch class that completions of this priority run at.
    var qos: DispatchQoS {
        switch self {
        case .copyOnWrite: .userInitiated
        case .resync: .utility
        case .scrub: .background
        }
    }
}
