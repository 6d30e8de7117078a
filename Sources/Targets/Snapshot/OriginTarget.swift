import SystemPackage
import BlockIO
import Glibc

/// `snapshot-origin`: a device that has snapshots. Reads and flushes go straight to it, writes when all of its snapshots have
/// kept what was there.
final class OriginTarget: Target, RequestSender {
    let typeName = "snapshot-origin"
    private let device: any TargetDevice
    private let host: TargetHost
    private let origin: Origin
    var onEvent: ((TargetEvent) -> Void)?
    private(set) var takesBack: ((BlockRequest) -> Void)?

    init(_ device: any TargetDevice, host: TargetHost) {
        self.device = device
        self.host = host
        origin = host.origins.origin(device)
        origin.users += 1
    }

    var devices: [any TargetDevice] { [device] }
    var tableText: String { device.name }
    let statusText = ""
    var details: [TargetDetail] { [TargetDetail("snapshots", .number(UInt64(origin.snapshots.count)))] }

    private(set) lazy var abilities = {
        var abilities = TargetAbilities()
        abilities.logicalBlockSectors = device.logicalBlockSectors
        abilities.isAlone = true
        return abilities
    }()

    func handle(_ request: BlockRequest) {
        switch request.operation {
        case .read, .flush: device.start(request.transfer(to: request.sector))
        case .write: origin.write(request, to: device, from: self)
        case .discard, .writeZeroes, .pollIn, .pollOut: request.end(EOPNOTSUPP)
        }
    }

    func allocation(in range: SectorRange, limit: Int) -> [Allocation] {
        device.stretches(in: range, alignment: device.logicalBlockSectors, limit: limit).map {
            Allocation(end: $0.end, isHole: $0.isHole, isZero: $0.isHole)
        }
    }

    // MARK: Life

    func presuspend(requeue: @escaping (BlockRequest) -> Void, done: @escaping () -> Void) {
        takesBack = requeue
        for request in origin.takeHeld(of: self) { requeue(request) }
        done()
    }

    func postsuspend() {}
    func preresume() throws(TargetError) {}
    func resume() { takesBack = nil }

    func message(_ words: [String]) throws(TargetError) -> String {
        throw TargetError(
            words.joined(separator: " "), "send the message", .invalidArgument, "snapshot-origin takes no messages")
    }

    func destroy(_ done: @escaping () -> Void) {
        origin.users -= 1
        host.origins.forget(origin.identity)
        device.release()
        done()
    }
}
