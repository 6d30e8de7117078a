import BlockIO

/// A device that has snapshots, and its snapshots: before a write reaches the device, each of them has what it needs.
/// Belongs to a queue thread.
final class Origin {
    let identity: DeviceIdentity
    /// Its snapshots, those with the largest chunks first.
    private(set) var snapshots: [Snapshot] = []
    /// How many targets use it as theirs.
    var users = 0
    private var free: [OriginWrite] = []

    init(identity: DeviceIdentity) {
        self.identity = identity
    }

    /// Takes a snapshot in.
    func add(_ snapshot: Snapshot) {
        let place = snapshots.firstIndex { $0.chunkShift < snapshot.chunkShift } ?? snapshots.endIndex
        snapshots.insert(snapshot, at: place)
    }

    /// Lets a snapshot go.
    func remove(_ snapshot: Snapshot) {
        snapshots.removeAll { $0 === snapshot }
    }

    // MARK: Writing

    /// Writes to the origin, when its snapshots have kept what was there.
    func write(_ request: BlockRequest, to device: any TargetDevice, from sender: any RequestSender) {
        start(request, device, sender)
    }

    /// Has snapshots keep a range of the origin, without anything being written yet; the request then ends.
    func keep(_ request: BlockRequest, from sender: any RequestSender) {
        start(request, nil, sender)
    }

    private func start(_ request: BlockRequest, _ device: (any TargetDevice)?, _ sender: any RequestSender) {
        let write = free.popLast() ?? OriginWrite(self)
        write.request = request
        write.sender = sender
        write.device = device
        write.left = 0
        prepare(write)
    }

    /// Finds out what a write has to wait for, and starts what is not under way; writes if there is nothing. Again and
    /// again, for meanwhile a snapshot may have been added.
    func prepare(_ write: OriginWrite) {
        guard let request = write.request else { preconditionFailure("a write without a request") }
        let range = request.range
        for snapshot in snapshots where snapshot.takesCopies(of: range) {
            if snapshot.inFlight > Snapshot.mostInFlight {
                return snapshot.whenUncrowded { [self] in prepare(write) }
            }
            if snapshot.policy == .hold, !snapshot.hasRoom(for: snapshot.clipped(range)) {
                return hold(write, request, snapshot)
            }
        }
        // One more, for this loop.
        write.left = 1
        var index = snapshots.startIndex
        while index < snapshots.endIndex {
            let shift = snapshots[index].chunkShift
            let end = snapshots[index...].firstIndex { $0.chunkShift != shift } ?? snapshots.endIndex
            CopyPlan(write, range, Array(snapshots[index..<end])).start()
            index = end
        }
        for snapshot in snapshots where snapshot.isBeingMarked && range.start < snapshot.length {
            write.left += 1
            snapshot.whenMarked.append { write.oneIsSafe() }
        }
        for snapshot in snapshots where !snapshot.isValid && !snapshot.originReads.isEmpty {
            // It has no copies any more, but what it is reading now was asked for before.
            write.left += 1
            let chunks = snapshot.chunks(range)
            snapshot.originReads.whenClear({ $0.overlaps(chunks) }, { write.oneIsSafe() })
        }
        write.left -= 1
        if write.left == 0 { start(write, request) }
    }

    private func hold(_ write: OriginWrite, _ request: BlockRequest, _ snapshot: Snapshot) {
        guard let sender = write.sender else { preconditionFailure("a write without a sender") }
        let device = write.device
        give(write)
        let held = HeldRequest(request: request, owner: sender) { [self] request in
            start(request, device, sender)
        }
        snapshot.hold(held)
    }

    /// Keeps a request whole if a snapshot's store has no room for what it needs, and its writers are to wait for that; the
    /// answer says whether.
    func holdIfFull(_ request: BlockRequest, from sender: any RequestSender, _ retry: @escaping (BlockRequest) -> Void)
        -> Bool
    {
        let range = request.range
        let full = snapshots.first {
            $0.policy == .hold && $0.takesCopies(of: range) && !$0.hasRoom(for: $0.clipped(range))
        }
        full?.hold(HeldRequest(request: request, owner: sender, retry: retry))
        return full != nil
    }

    /// Gives back the requests of a target that wait for room in a store: the target is to be suspended.
    func takeHeld(of sender: any RequestSender) -> [BlockRequest] {
        snapshots.flatMap { $0.takeHeld(of: sender) }
    }

    private func start(_ write: OriginWrite, _ request: BlockRequest) {
        guard let device = write.device else { return ended(write, 0) }
        write.start(request, on: device)
    }

    func ended(_ write: OriginWrite, _ errno: Int32) {
        let request = write.request
        give(write)
        request?.end(errno)
    }

    private func give(_ write: OriginWrite) {
        write.request = nil
        write.sender = nil
        write.device = nil
        free.append(write)
    }
}

extension Snapshot {
    /// Whether a write to a range of the origin concerns it.
    func takesCopies(of range: SectorRange) -> Bool {
        isActive && isValid && !isMerging && range.start < length
    }

    /// The part of a range that it has.
    func clipped(_ range: SectorRange) -> SectorRange {
        SectorRange(start: range.start, count: min(range.end, length) - range.start)
    }
}
