import BlockIO
import Glibc

/// `snapshot`: an origin as it was, which can be written to without the origin changing.
final class SnapshotTarget: Target, SnapshotOwner, RequestSender {
    let typeName = "snapshot"
    let seat: SnapshotSeat
    var onEvent: ((TargetEvent) -> Void)?
    private(set) var takesBack: ((BlockRequest) -> Void)?

    init(_ seat: SnapshotSeat) {
        self.seat = seat
        seat.owner = self
    }

    func snapshotEvent(_ event: TargetEvent) { onEvent?(event) }

    var devices: [any TargetDevice] { [seat.originDevice, seat.cowDevice] }
    var tableText: String { seat.tableText }
    var statusText: String { seat.statusText(mergeFailed: false) }
    var details: [TargetDetail] { seat.details }

    /// Looked at for every request: kept, and made anew at a resume, which may bring another chunk size.
    private(set) lazy var abilities = makeAbilities()

    private func makeAbilities() -> TargetAbilities {
        var abilities = TargetAbilities()
        abilities.logicalBlockSectors = max(seat.originDevice.logicalBlockSectors, seat.cowDevice.logicalBlockSectors)
        abilities.preferredSectors = max(8, seat.snapshot?.chunkSectors ?? seat.line.chunkSectors)
        abilities.canDiscard = seat.line.features.discardZeroesCOW
        abilities.isAlone = true
        return abilities
    }

    // MARK: Requests

    func handle(_ request: BlockRequest) {
        switch request.operation {
        // Even where the snapshot is invalid. The origin is not flushed.
        case .flush: seat.cowDevice.start(request.transfer(to: 0))
        case .read:
            guard let snapshot = seat.snapshot else { return request.end(EIO) }
            snapshot.read(request)
        case .write:
            guard let snapshot = seat.snapshot else { return request.end(EIO) }
            snapshot.write(request, from: self)
        case .discard:
            guard let snapshot = seat.snapshot else { return request.end(EIO) }
            guard seat.line.features.discardZeroesCOW else { return request.end(EOPNOTSUPP) }
            snapshot.discard(request, passdown: seat.line.features.discardPassdownOrigin)
        case .writeZeroes, .pollIn, .pollOut: request.end(EOPNOTSUPP)
        }
    }

    func allocation(in range: SectorRange, limit: Int) -> [Allocation] {
        seat.snapshot?.allocation(in: range, limit: limit) ?? [Allocation(end: range.end, isHole: false, isZero: false)]
    }

    // MARK: Life

    func presuspend(requeue: @escaping (BlockRequest) -> Void, done: @escaping () -> Void) {
        takesBack = requeue
        for request in seat.snapshot?.takeHeld(of: self) ?? [] { requeue(request) }
        done()
    }

    func postsuspend() { seat.suspend() }
    func preresume() throws(TargetError) { try seat.checkResume() }
    func resume() {
        takesBack = nil
        seat.resume()
        abilities = makeAbilities()
    }

    func message(_ words: [String]) throws(TargetError) -> String { try seat.message(words) }
    func destroy(_ done: @escaping () -> Void) { seat.leave(done) }
}
