import BlockIO
import Glibc

/// What happens when the store is full.
extension Snapshot {
    /// How often the store is looked at while somebody waits for it to grow: image files and most devices tell nobody.
    private static let growthInterval: UInt64 = 500_000_000

    /// The store cannot take another chunk.
    func overflow(bySnapshotWrite: Bool) {
        guard isValid, !isOverflowed || !bySnapshotWrite else { return }
        let text = "\(cow.name): the store is full, with \(cow.sectors) sectors"
        if policy == .detach { return invalidate(text, as: .detached) }
        guard bySnapshotWrite, understandsOverflow else { return invalidate(text) }
        isOverflowed = true
        owner?.snapshotEvent(TargetEvent(.overflow, text))
    }

    /// Whether there is room for what a write to the snapshot needs. If not, and writers are to wait for the store to grow, the
    /// request is kept, and the answer is false.
    func makeRoom(for request: BlockRequest, from owner: any RequestSender) -> Bool {
        guard policy == .hold, needs(request.range) > 0 else { return true }
        if hasRoom(for: request.range) { return true }
        hold(HeldRequest(request: request, owner: owner) { [unowned self] in write($0, from: owner) })
        return false
    }

    /// Whether the store has room for all chunks of a range that have none yet.
    func hasRoom(for range: SectorRange) -> Bool { hasRoom(needs(range)) }

    /// How many chunks of a range have no place in the store.
    private func needs(_ range: SectorRange) -> UInt64 {
        var count: UInt64 = 0
        for chunk in chunks(range) where pending[chunk] == nil && exceptions.lookup(chunk) == nil { count += 1 }
        return count
    }

    /// Keeps a request until the store has grown. Whoever is being suspended meanwhile has it back: that can take for ever.
    func hold(_ request: HeldRequest) {
        if let takesBack = request.owner.takesBack { return takesBack(request.request) }
        held.append(request)
        guard growthTimer == nil else { return }
        heldAtSectors = cow.sectors
        let text = "\(cow.name): the store is full, with \(heldAtSectors) sectors: writers wait until it grows"
        owner?.snapshotEvent(TargetEvent(.held, text))
        watchGrowth()
    }

    private func watchGrowth() {
        growthTimer = environment.after(nanoseconds: Self.growthInterval) { [weak self] in
            guard let self else { return }
            growthTimer = nil
            if cow.sectors > heldAtSectors { storeHasGrown() } else if !held.isEmpty { watchGrowth() }
        }
    }

    /// The store may have room again.
    func storeHasGrown() {
        guard !held.isEmpty else { return }
        let text = "\(cow.name): the store has grown to \(cow.sectors) sectors, and writers go on"
        owner?.snapshotEvent(TargetEvent(.released, text))
        releaseHeld()
    }

    /// Lets everybody try again who waits for room.
    func releaseHeld() {
        if let growthTimer { environment.cancel(timer: growthTimer) }
        growthTimer = nil
        var requests: [HeldRequest] = []
        swap(&requests, &held)
        for request in requests { request.retry(request.request) }
    }

    /// Gives back the requests of a target that is to be suspended.
    func takeHeld(of owner: any RequestSender) -> [BlockRequest] {
        let taken = held.filter { $0.owner === owner }.map(\.request)
        held.removeAll { $0.owner === owner }
        if held.isEmpty, let growthTimer {
            environment.cancel(timer: growthTimer)
            self.growthTimer = nil
        }
        return taken
    }
}
