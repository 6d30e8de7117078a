import SystemPackage
import BlockIO

/// The origins of one queue thread, with their snapshots, and the targets that have snapshots or wait for one.
final class OriginRegistry {
    private var origins: [DeviceIdentity: Origin] = [:]
    private(set) var seats: [SnapshotSeat] = []

    /// The origin that is this device.
    func origin(_ device: any TargetDevice) -> Origin {
        if let known = origins[device.identity] { return known }
        let new = Origin(identity: device.identity)
        origins[device.identity] = new
        return new
    }

    /// A target has, or is going to have, a snapshot.
    func add(_ seat: SnapshotSeat) { seats.append(seat) }

    /// A target has ended.
    func remove(_ seat: SnapshotSeat) {
        seats.removeAll { $0 === seat }
        forget(seat.originDevice.identity)
    }

    /// An origin without users and snapshots need not be remembered.
    func forget(_ identity: DeviceIdentity) {
        if let origin = origins[identity], origin.users == 0, origin.snapshots.isEmpty { origins[identity] = nil }
    }

    /// Finds the seat whose snapshot a new target for the same origin and store is going to take over; nil where it has to load
    /// the store itself.
    /// - Throws: EINVAL where somebody waits for it already or it was never in use; EBUSY where the store is another
    ///   origin's, or is about to be given back.
    func source(for new: SnapshotSeat) throws(TargetError) -> SnapshotSeat? {
        let store = new.cowDevice
        let sharing = seats.filter { $0.cowDevice.identity == store.identity && !$0.isVacated }
        if let foreign = sharing.first(where: { $0.originDevice.identity != new.originDevice.identity }) {
            throw TargetError(
                store.name, "use as a store", .resourceBusy,
                "it is the store of a snapshot of \(foreign.originDevice.name)")
        }
        if let user = seats.first(where: { $0.originDevice.identity == store.identity }) {
            throw TargetError(
                store.name, "use as a store", .resourceBusy, "it has a snapshot itself, in \(user.cowDevice.name)")
        }
        guard let source = sharing.first else { return nil }
        if sharing.count > 1 {
            throw TargetError(
                store.name, "take the snapshot over", .invalidArgument, "another target waits for it already")
        }
        guard !source.isLeaving else {
            throw TargetError(store.name, "use as a store", .resourceBusy, "the target that has it is being removed")
        }
        guard source.hasResumed else {
            throw TargetError(
                store.name, "take the snapshot over", .invalidArgument, "the target that has it was never resumed")
        }
        return source
    }

    /// - Throws: EINVAL where the origin is being merged into already, by another snapshot than the new target's.
    func checkMerge(_ new: SnapshotSeat) throws(TargetError) {
        let origin = new.originDevice
        let other = seats.first {
            $0 !== new && $0.merges && $0.originDevice.identity == origin.identity
                && $0.cowDevice.identity != new.cowDevice.identity
        }
        if let other {
            throw TargetError(
                origin.name, "merge", .invalidArgument,
                "the snapshot in \(other.cowDevice.name) is being merged into it")
        }
    }
}
