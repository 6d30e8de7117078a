import BlockIO
import Glibc

/// Hands the requests of a mapped device to the targets of its live table, in parts where that has to be, and holds them
/// while the device is suspended. Belongs to a queue thread.
///
/// A request that fits into one target travels as one part: a request of the router's own, kept for the next one. Any other
/// is represented by a whole of the router's own, whose range is what has yet to be handed out, and whose parts are handed
/// out `window` at a time, so that a request of any length takes a limited number of them:
///
///     request ◄─ parent ─ part
///     request ◄─ parent ─ whole ◄─ parent ─ part ...
///
/// Where a request is:
///
/// | place      | what is there                                             | leaves it                       |
/// |------------|-----------------------------------------------------------|---------------------------------|
/// | a target   | parts                                                     | by their end, or by `requeue`   |
/// | `waiting`  | requests that came while requests were held               | by `unblock`, in their order    |
/// | `requeued` | parts that targets gave back                              | by `unblock`, before all others |
/// | `stalled`  | wholes without a part under way, and sectors to hand out  | by `unblock`                    |
final class RequestRouter {
    /// How many parts of a request are under way at most.
    static let window = 64

    /// The table that requests go to; without one they end with EIO.
    private(set) var table: LoadedTable?
    /// Whether writes are refused, whatever the table says.
    private let refusesWrites: Bool
    /// Where zeroes are, for targets that have to be sent them.
    let zeroes: () -> PageMemory?
    /// What positions and lengths are multiples of, in sectors.
    private(set) var logicalBlockSectors: UInt64 = 1
    private(set) var isReadOnly: Bool

    /// Whether requests are held.
    private(set) var isBlocked = false
    /// Parts that are with a target.
    private(set) var inFlight = 0
    private var drained: (() -> Void)?

    private var waiting = RequestList()
    private var requeued = RequestList()
    private var stalled = RequestList()
    private lazy var parts = RequestPool { [unowned self] in self.ended($0) }
    private lazy var wholes = RequestPool { [unowned self] in self.wholeEnded($0) }

    init(refusesWrites: Bool, zeroes: @escaping () -> PageMemory?) {
        self.refusesWrites = refusesWrites
        self.zeroes = zeroes
        isReadOnly = refusesWrites
    }

    // MARK: Control

    /// Sends requests to another table from now on. No part may be with a target of the one before.
    func bind(_ table: LoadedTable?) {
        precondition(inFlight == 0, "\(inFlight) parts are with the targets of the table before")
        self.table = table
        refreshLimits()
    }

    /// Asks the targets anew what they take: a resume may change it.
    func refreshLimits() {
        guard let table else {
            logicalBlockSectors = 1
            isReadOnly = refusesWrites
            return
        }
        logicalBlockSectors = table.largest(\.logicalBlockSectors)
        isReadOnly = refusesWrites || table.isReadOnly || table.all(\.isReadOnly)
    }

    /// Holds requests from now on.
    func block() { isBlocked = true }

    /// Calls back when no part is with a target. Requests have to be held.
    func whenDrained(_ done: @escaping () -> Void) {
        precondition(isBlocked && drained == nil, "a second one waits for the last request")
        if inFlight == 0 { done() } else { drained = done }
    }

    /// Takes requests again, those that were held first, in the order in which they came.
    func unblock() {
        isBlocked = false
        // Whoever is told of an end may suspend the device again.
        while !isBlocked, let part = requeued.popFirst() { handAgain(part) }
        while !isBlocked, let whole = stalled.popFirst() { resume(whole) }
        while !isBlocked, let request = waiting.popFirst() { route(request) }
    }

    /// Flushes every target, while requests are held.
    func flush(_ done: @escaping (_ errno: Int32) -> Void) {
        let request = BlockRequest { done($0.errno) }
        request.describe(.flush)
        flush(request)
    }

    /// Takes a part back from its target: it will be handed out again.
    func requeue(_ part: BlockRequest) {
        precondition(isBlocked, "a part was given back by a target that is not being suspended")
        inFlight -= 1
        requeued.append(part)
        Unmanaged.passUnretained(part).release()
        tellDrained()
    }

    // MARK: Requests

    /// Takes a request.
    func handle(_ request: BlockRequest) {
        if isBlocked, table != nil {
            waiting.append(request)
        } else {
            route(request)
        }
    }

    private func route(_ request: BlockRequest) {
        guard let table else { return request.end(EIO) }
        if request.operation == .flush { return flush(request) }
        let fault = fault(of: request, table)
        guard fault == 0, request.count > 0 else { return request.end(fault) }
        let segment = table.segment(at: request.sector)
        let treatment = RequestTreatment(request, segment.target.abilities)
        guard case .handed = treatment.way, treatment.length(of: request.range, in: segment) == request.count
        else { return split(request) }
        let part = parts.take()
        part.describe(
            request.operation, sector: request.sector, count: request.count, memory: request.memory,
            isFUA: request.isFUA)
        part.mayUnmap = request.mayUnmap
        part.parent = request
        request.parts = 1
        hand(part, to: segment.target)
    }

    /// Why a request cannot be: 0 or an errno.
    private func fault(of request: BlockRequest, _ table: LoadedTable) -> Int32 {
        switch request.operation {
        case .pollIn, .pollOut: return EOPNOTSUPP
        case .write, .writeZeroes, .discard: if isReadOnly { return EROFS }
        case .read, .flush: break
        }
        let (end, overflow) = request.sector.addingReportingOverflow(request.count)
        if overflow || end > table.sectors { return EIO }
        return (request.sector | request.count) & (logicalBlockSectors - 1) == 0 ? 0 : EINVAL
    }

    private func hand(_ part: BlockRequest, to target: any Target) {
        inFlight += 1
        // A target need not hold what it is asked for; released when it ends or is given back.
        _ = Unmanaged.passRetained(part)
        target.handle(part)
    }

    private func ended(_ part: BlockRequest) {
        guard let parent = part.parent else { preconditionFailure("a part without a request has ended") }
        inFlight -= 1
        let errno = part.errno
        parts.give(part)
        Unmanaged.passUnretained(part).release()
        parent.partEnded(errno)
        tellDrained()
    }

    private func tellDrained() {
        guard inFlight == 0, let done = drained else { return }
        drained = nil
        done()
    }

    // MARK: Parts

    private func split(_ request: BlockRequest) {
        let whole = wholes.take()
        whole.describe(
            request.operation, sector: request.sector, count: request.count, memory: request.memory,
            isFUA: request.isFUA)
        whole.mayUnmap = request.mayUnmap
        whole.parent = request
        advance(whole)
    }

    /// Hands out what is left of a whole without parts, a window at a time.
    private func advance(_ whole: BlockRequest) {
        while true {
            // One more than there are, so that it does not end in here.
            whole.parts = 1
            var room = Self.window
            while whole.count > 0, room > 0, !isBlocked, whole.partErrno == 0 {
                let count = handNext(SectorRange(start: whole.sector, count: whole.count), of: whole)
                whole.sector += count
                whole.count -= count
                room -= 1
            }
            whole.parts -= 1
            if whole.parts > 0 { return }
            if whole.count == 0 || whole.partErrno != 0 { return finish(whole) }
            if isBlocked { return stalled.append(whole) }
        }
    }

    /// The parts of a whole have ended.
    private func wholeEnded(_ whole: BlockRequest) {
        if whole.count == 0 || whole.partErrno != 0 { finish(whole) } else { advance(whole) }
    }

    /// Hands out the first part of a range: its length, or 0 where it cannot be, with the reason in the whole.
    private func handNext(_ range: SectorRange, of whole: BlockRequest) -> UInt64 {
        guard let table, range.start < table.sectors else {
            return refuse(whole, EIO)
        }
        let segment = table.segment(at: range.start)
        let treatment = RequestTreatment(whole, segment.target.abilities)
        var count = treatment.length(of: range, in: segment)
        var operation = whole.operation
        var memory = whole.parent?.memory(at: range.start)
        switch treatment.way {
        case .handed, .followed: break
        case .refused(let errno):
            return refuse(whole, errno)
        case .written:
            guard let zeroes = zeroes() else {
                return refuse(whole, ENOMEM)
            }
            operation = .write
            count = min(count, UInt64(zeroes.length >> Sector.shift))
            memory = MemorySlice(address: zeroes.base, slot: -1)
        }
        let part = parts.take()
        part.describe(
            operation, sector: range.start, count: count, memory: memory,
            isFUA: whole.isFUA && whole.operation == .write)
        part.mayUnmap = whole.mayUnmap
        part.parent = whole
        whole.parts += 1
        hand(part, to: segment.target)
        return count
    }

    /// Counts a part that could not be handed out. Another one has yet to end.
    private func refuse(_ whole: BlockRequest, _ errno: Int32) -> UInt64 {
        whole.parts += 1
        whole.partEnded(errno)
        return 0
    }

    private func finish(_ whole: BlockRequest) {
        let errno = whole.partErrno
        guard let request = whole.parent else { preconditionFailure("a whole without a request has ended") }
        if errno == 0, whole.operation == .writeZeroes, whole.isFUA {
            whole.describe(.flush)
            whole.parent = request
            return isBlocked ? stalled.append(whole) : flushTargets(for: whole)
        }
        wholes.give(whole)
        request.end(errno)
    }

    private func resume(_ whole: BlockRequest) {
        if whole.operation == .flush { flushTargets(for: whole) } else { advance(whole) }
    }

    // MARK: Flushes

    private func flush(_ request: BlockRequest) {
        let whole = wholes.take()
        whole.describe(.flush)
        whole.parent = request
        flushTargets(for: whole)
    }

    /// One part for every target that flushes; for a whole without parts.
    private func flushTargets(for whole: BlockRequest) {
        // One more than there are, so that it does not end in here.
        whole.parts = 1
        handFlushes(of: whole)
    }

    /// One part for every target that flushes, in the place of a part that has ended or was given back.
    private func handFlushes(of whole: BlockRequest) {
        for segment in table?.segments ?? [] where segment.target.abilities.canFlush {
            let part = parts.take()
            part.describe(.flush)
            part.parent = whole
            whole.parts += 1
            hand(part, to: segment.target)
        }
        whole.partEnded(table == nil ? EIO : 0)
    }

    // MARK: Again

    /// Hands out a part that its target gave back: to the table that is bound now, which may be another one.
    private func handAgain(_ part: BlockRequest) {
        guard let parent = part.parent else { preconditionFailure("a part without a request was given back") }
        let range = part.range
        let operation = part.operation
        if parent.parent == nil {
            parts.give(part)
            return route(parent)
        }
        if operation == .flush {
            parts.give(part)
            return handFlushes(of: parent)
        }
        var rest = range
        while rest.count > 0, parent.partErrno == 0 {
            if isBlocked {
                part.sector = rest.start
                part.count = rest.count
                return requeued.prepend(part)
            }
            let count = handNext(rest, of: parent)
            rest = SectorRange(start: rest.start + count, count: rest.count - count)
        }
        parts.give(part)
        parent.partEnded(0)
    }
}
