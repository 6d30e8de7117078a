import Glibc

/// Whoever uses an `IOQueue` is told here, on the lane's queue.
public protocol IOQueueClient: AnyObject {
    /// An operation has ended: in full (`errno` 0), with an error, or, behind a linked operation that
    /// failed, without having been started (`IOQueue.notStarted`).
    func operationEnded(token: UInt64, errno: Int32)
    /// Everything that has arrived was told: the time to start new operations.
    func batchEnded()
    /// There are ends to be told: the time to call `take()`.
    func ready()
}

/// Makes whole operations of an engine's raw ones.
///
/// Short transfers are continued, interrupted and cancelled ones started again, a link that a short read
/// has torn is mended, and zeroes are written where a device refuses to write zeroes by itself. An
/// operation ends once, with 0 or an errno. Belongs to its lane's queue like the engine below it.
public final class IOQueue {
    /// What a linked operation ends with when the one before it failed.
    public static let notStarted = ECANCELED
    /// How often in a row an operation that makes no progress is started again (EINTR, EAGAIN).
    private static let mostAttempts = 64

    /// How a slot depends on the operation it was linked behind.
    private enum Link {
        /// It does not.
        case none
        /// That one has not ended.
        case behind
        /// That one has not ended, and the kernel has given this one back.
        case held
        /// That one has ended well; should the kernel still give this one back, it is started again.
        case released
        /// That one has failed; the kernel will give this one back.
        case abandoned
    }

    private struct Slot {
        var operation: IOOperation
        var token: UInt64
        var done = 0
        var attempts = 0
        var zeroFill = false
        var link = Link.none
        var follower: Int = -1
    }

    private let engine: any IOEngine
    /// Zeroes to write, set up when they are first needed.
    private var zeroes: (memory: PageMemory, slot: Int32)?
    private var slots: [Slot] = []
    private var freeSlots: [Int] = []
    private var refusesZeroes: Set<Int32> = []

    /// Where ends are told. Held until `shutdown()`.
    public var client: (any IOQueueClient)?
    /// Operations that have not ended.
    public private(set) var inFlight = 0
    /// How many operations should be under way at most.
    public var depth: Int { engine.depth }

    /// A queue on top of an engine.
    public init(engine: any IOEngine) {
        self.engine = engine
        engine.onCompletions = { [unowned self] in self.take($0) }
        engine.onReady = { [unowned self] in self.client?.ready() }
    }

    /// Ends the engine; nothing may be under way.
    public func shutdown() {
        precondition(inFlight == 0, "\(inFlight) operations under way at shutdown")
        if let zeroes { engine.detach(memorySlot: zeroes.slot) }
        engine.onCompletions = nil
        engine.onReady = nil
        client = nil
        engine.shutdown()
    }

    /// Makes a device known.
    public func attach(_ device: BlockDevice) -> AttachedDevice {
        let attached = engine.attach(device)
        if !device.geometry.canWriteZeroes { refusesZeroes.insert(attached.descriptor) }
        return attached
    }

    /// Forgets a device.
    public func detach(_ device: AttachedDevice) {
        refusesZeroes.remove(device.descriptor)
        engine.detach(device)
    }

    /// Makes memory known.
    public func attach(_ memory: PageMemory) -> Int32 { engine.attach(memory) }
    /// Forgets memory.
    public func detach(memorySlot: Int32) { engine.detach(memorySlot: memorySlot) }

    // MARK: Starting

    /// Starts an operation.
    public func start(_ operation: IOOperation, token: UInt64) {
        let slot = place(Slot(operation: operation, token: token))
        if operation.kind == .writeZeroes, refusesZeroes.contains(operation.device.descriptor) {
            slots[slot].zeroFill = true
        }
        hand(slot)
    }

    /// Starts an operation, and a second one as soon as the first has succeeded.
    public func start(_ first: IOOperation, token: UInt64, then second: IOOperation, token secondToken: UInt64) {
        let follower = place(Slot(operation: second, token: secondToken, link: .behind))
        let leader = place(Slot(operation: first, token: token, follower: follower))
        engine.prepare(first, tag: UInt64(leader), linked: true)
        engine.prepare(second, tag: UInt64(follower), linked: false)
    }

    /// Hands everything that was started to the system.
    public func submit() { engine.submit() }
    /// Tells the ends that have come; false where there were none.
    public func take() -> Bool { engine.takeCompletions() }
    /// Hands everything that was started to the system, and waits for ends: see `IOEngine.wait`.
    public func wait(count: Int, nanoseconds: UInt64) -> Bool { engine.wait(count: count, nanoseconds: nanoseconds) }
    /// Counts as an end for a `wait`. From any thread.
    public func interrupt() { engine.interrupt() }

    private func place(_ slot: Slot) -> Int {
        inFlight += 1
        if let index = freeSlots.popLast() {
            slots[index] = slot
            return index
        }
        slots.append(slot)
        return slots.count - 1
    }

    /// Hands what is left of an operation to the engine.
    private func hand(_ index: Int) {
        let slot = slots[index]
        var rest = slot.operation
        rest.offset += UInt64(slot.done)
        rest.length -= slot.done
        if slot.zeroFill {
            guard let zeroes = zeroMemory() else { return end(index, ENOMEM) }
            rest.kind = .write
            rest.length = min(rest.length, zeroes.memory.length)
            rest.memory = MemorySlice(address: zeroes.memory.base, slot: zeroes.slot)
        } else if let memory = rest.memory {
            rest.memory = MemorySlice(address: memory.address + slot.done, slot: memory.slot)
        }
        engine.prepare(rest, tag: UInt64(index), linked: false)
    }

    private func zeroMemory() -> (memory: PageMemory, slot: Int32)? {
        if zeroes == nil, let memory = try? PageMemory(pages: 64) { zeroes = (memory, engine.attach(memory)) }
        return zeroes
    }

    // MARK: Ending

    private func take(_ completions: UnsafeBufferPointer<RawCompletion>) {
        for completion in completions { take(completion) }
        client?.batchEnded()
    }

    private func take(_ completion: RawCompletion) {
        let index = Int(completion.tag)
        let result = completion.result
        if isNoAnswer(index, result) {
            givenBack(index)
        } else if result < 0 {
            failed(index, -result)
        } else {
            progressed(index, Int(result))
        }
    }

    /// Whether a result says nothing but that the second half of a link has yet to be done. Before the first half has ended in
    /// full, and after it has failed, that is every result: where the kernel cannot set the second half up (ENOMEM) it
    /// cancels the first one, and answers the second with the reason.
    private func isNoAnswer(_ index: Int, _ result: Int32) -> Bool {
        switch slots[index].link {
        case .none: false
        case .behind, .held, .abandoned: true
        case .released: result == -ECANCELED
        }
    }

    private func progressed(_ index: Int, _ count: Int) {
        let operation = slots[index].operation
        guard operation.memory != nil || slots[index].zeroFill else {
            // What a poll answers is which events have come.
            return end(index, operation.kind == .writeZeroes && isBehindEnd(operation) ? ENOSPC : 0)
        }
        slots[index].done += count
        slots[index].attempts = 0
        if slots[index].done >= operation.length { return end(index, 0) }
        // A device that has shrunk answers 0: the end of what it can be read, no room to write.
        if count == 0 { return end(index, operation.kind == .read ? ENODATA : ENOSPC) }
        slots[index].link = .none
        hand(index)
    }

    /// Whether an operation went behind the end of an image file, which has shrunk: a hole can be punched there too.
    private func isBehindEnd(_ operation: IOOperation) -> Bool {
        var status = stat()
        guard fstat(operation.device.descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return false }
        return UInt64(max(status.st_size, 0)) < operation.offset + UInt64(operation.length)
    }

    private func failed(_ index: Int, _ error: Int32) {
        if slots[index].operation.kind == .writeZeroes, !slots[index].zeroFill {
            // Whatever the reason, writing zeroes is as good; its error, if any, is the true one.
            if error == EOPNOTSUPP { refusesZeroes.insert(slots[index].operation.device.descriptor) }
            slots[index].zeroFill = true
            return hand(index)
        }
        // EFAULT: the thread that submitted a link has ended before its second half could start. The memory is good.
        let transient = error == EINTR || error == EAGAIN || error == ECANCELED || error == EFAULT
        slots[index].attempts += 1
        guard transient, slots[index].attempts < Self.mostAttempts else { return end(index, error) }
        slots[index].link = .none
        hand(index)
    }

    /// The kernel has not started a linked operation, because the one before it did not succeed at once.
    private func givenBack(_ index: Int) {
        switch slots[index].link {
        case .behind: slots[index].link = .held
        case .released:
            slots[index].link = .none
            hand(index)
        case .abandoned: end(index, Self.notStarted)
        case .none, .held: preconditionFailure("operation \(index) given back in state \(slots[index].link)")
        }
    }

    private func end(_ index: Int, _ error: Int32) {
        let follower = slots[index].follower
        let token = slots[index].token
        freeSlots.append(index)
        inFlight -= 1
        client?.operationEnded(token: token, errno: error)
        if follower >= 0 { leaderEnded(follower, error) }
    }

    private func leaderEnded(_ follower: Int, _ error: Int32) {
        switch (slots[follower].link, error) {
        case (.behind, 0): slots[follower].link = .released
        case (.behind, _): slots[follower].link = .abandoned
        case (.held, 0):
            slots[follower].link = .none
            hand(follower)
        case (.held, _): end(follower, Self.notStarted)
        case (.none, _), (.released, _), (.abandoned, _):
            preconditionFailure("operation \(follower) lost its link: \(slots[follower].link)")
        }
    }
}
