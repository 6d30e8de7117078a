import BlockIO
import Glibc

/// `snapshot-merge`: an origin that is becoming what its snapshot is. It reads as the snapshot from the beginning, and takes
/// the place of `snapshot-origin` for the other snapshots of the device.
final class MergeTarget: Target, SnapshotOwner, RequestSender {
    let typeName = "snapshot-merge"
    let seat: SnapshotSeat
    private let origin: Origin
    private var merge: Merge?
    var onEvent: ((TargetEvent) -> Void)?
    private(set) var takesBack: ((BlockRequest) -> Void)?

    init(_ seat: SnapshotSeat) {
        self.seat = seat
        origin = seat.origin
        origin.users += 1
        seat.owner = self
    }

    func snapshotEvent(_ event: TargetEvent) { onEvent?(event) }

    var devices: [any TargetDevice] { [seat.originDevice, seat.cowDevice] }
    var tableText: String { seat.tableText }
    var statusText: String { seat.statusText(mergeFailed: merge?.hasFailed ?? false) }

    var details: [TargetDetail] {
        seat.details + [
            TargetDetail("mergeFinished", .flag(merge?.isFinished ?? false)),
            TargetDetail("mergeFailed", .flag(merge?.hasFailed ?? false)),
        ]
    }

    private(set) lazy var abilities = {
        var abilities = TargetAbilities()
        abilities.logicalBlockSectors = max(seat.originDevice.logicalBlockSectors, seat.cowDevice.logicalBlockSectors)
        abilities.canDiscard = seat.line.features.discardZeroesCOW
        abilities.isAlone = true
        return abilities
    }()

    // MARK: Requests

    func handle(_ request: BlockRequest) {
        switch request.operation {
        case .flush: flush(request)
        // What is in the store would come back: a discard does nothing here.
        case .discard: request.end(0)
        case .read:
            guard let snapshot = valid else { return seat.originDevice.start(request.transfer(to: request.sector)) }
            snapshot.read(request)
        case .write:
            guard let snapshot = valid else { return origin.write(request, to: seat.originDevice, from: self) }
            write(request, snapshot)
        case .writeZeroes, .pollIn, .pollOut: request.end(EOPNOTSUPP)
        }
    }

    private var valid: Snapshot? { seat.snapshot.flatMap { $0.isValid ? $0 : nil } }

    private func flush(_ request: BlockRequest) {
        request.parts = 2
        for device in [seat.originDevice, seat.cowDevice] {
            let transfer = DeviceIO { request.partEnded($0.errno) }
            transfer.describe(.flush, sector: 0, count: 0)
            device.start(transfer)
        }
    }

    private func write(_ request: BlockRequest, _ snapshot: Snapshot) {
        // Before it is cut: a part could not be given back at a suspend.
        if origin.holdIfFull(request, from: self, { [self] in handle($0) }) { return }
        request.parts += 1
        var sector = request.sector
        while sector < request.range.end {
            sector = write(from: sector, request, snapshot)
        }
        request.partEnded(0)
    }

    /// Writes what can be written in one go from a sector on, and answers where to continue.
    private func write(from sector: UInt64, _ request: BlockRequest, _ snapshot: Snapshot) -> UInt64 {
        let end = request.range.end
        let shift = snapshot.chunkShift
        let chunk = sector >> shift
        let chunkEnd = min(end, (chunk + 1) << shift)
        if let run = snapshot.pending[chunk] {
            run.followers.append(request.writePart(sector..<chunkEnd))
            return chunkEnd
        }
        if let (new, _) = snapshot.exceptions.lookup(chunk) {
            if merge?.holds(chunk) == true {
                merge?.hold(request.writePart(sector..<chunkEnd))
            } else if snapshot.unclear.contains(chunk) {
                request.parts += 1
                request.partEnded(EIO)
            } else {
                let place = new << shift + sector & (snapshot.chunkSectors - 1)
                snapshot.writeStore(request, SectorRange(start: sector, count: chunkEnd - sector), to: place)
            }
            return chunkEnd
        }
        let limit = (end - chunk << shift + snapshot.chunkSectors - 1) >> shift
        let length = snapshot.exceptions.unmappedLength(from: chunk, limit: limit)
        let next = snapshot.pending.isEmpty ? min(end, (chunk + length) << shift) : chunkEnd
        origin.write(request.writePart(sector..<next), to: seat.originDevice, from: snapshot)
        return next
    }

    func allocation(in range: SectorRange, limit: Int) -> [Allocation] {
        seat.snapshot?.allocation(in: range, limit: limit) ?? [Allocation(end: range.end, isHole: false, isZero: false)]
    }

    // MARK: Life

    func presuspend(requeue: @escaping (BlockRequest) -> Void, done: @escaping () -> Void) {
        takesBack = requeue
        for request in origin.takeHeld(of: self) { requeue(request) }
        if let merge { merge.stop(done) } else { done() }
    }

    func postsuspend() { seat.suspend() }

    func preresume() throws(TargetError) {
        try seat.checkResume()
        try seat.host.origins.checkMerge(seat)
    }

    func resume() {
        takesBack = nil
        seat.resume()
        guard let snapshot = seat.snapshot, snapshot.isValid else { return }
        guard let store = snapshot.store as? PersistentStore else {
            preconditionFailure("a store of kind \(seat.line.store) came to be merged")
        }
        let merge = merge ?? Merge(snapshot, store: store, origin: origin, owner: self)
        self.merge = merge
        merge.start()
    }

    func message(_ words: [String]) throws(TargetError) -> String { try seat.message(words) }

    func destroy(_ done: @escaping () -> Void) {
        origin.users -= 1
        seat.leave(done)
    }
}

/// Parts of writes to a device that is being merged go on its snapshot's behalf: they cannot be given back.
extension Snapshot: RequestSender {
    var takesBack: ((BlockRequest) -> Void)? { nil }
}
