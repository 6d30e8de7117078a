import BlockIO
import Targets

/// Snapshots that come, go and change their targets.
extension SnapshotRun {
    /// The devices that a step does not concern go on meanwhile: what is under way ends in any order with it.
    func line(_ slot: Int, _ type: String, _ sectors: UInt64) -> String? {
        guard let wish = wishes[slot], let store = stores[slot] else { return nil }
        let features = wish.features.isEmpty ? "" : " \(wish.features.count) " + wish.features.joined(separator: " ")
        return "0 \(sectors) \(type) /origin \(store.name) \(wish.store) \(wish.chunk)\(features)"
    }

    func options(_ slot: Int) -> TargetOptions {
        var options = TargetOptions()
        options.overflow = wishes[slot]?.policy.flatMap(OverflowPolicy.init(rawValue:))
        return options
    }

    func take(_ slot: Int, _ wish: SnapshotProgram.Wish) throws {
        // A snapshot taken of half a merge would be one of neither content.
        guard volumes[slot] == nil, model.merging == nil else { return }
        let wanted = Int(world.lineSectors) + wish.excess / Int(world.block) * Int(world.block)
        let sectors = min(world.originSectors, UInt64(max(Int(world.block), wanted)))
        let store = newStore(max(wish.storeChunks, wish.store == "N" ? 1 : 3) * wish.chunk)
        stores[slot] = store
        wishes[slot] = wish
        guard let line = line(slot, "snapshot", sectors) else { return }
        // As volume managers do it: the new table is loaded, the origin stands still, the snapshot is resumed, the origin goes on.
        let volume = try Volume("snapshot\(slot)", lab: lab)
        try volume.load(line, options: options(slot))
        try suspendOrigin()
        model.take(
            slot,
            SnapshotModel.Shape(
                chunk: wish.chunk, store: wish.store, features: wish.features, sectors: sectors,
                storeSectors: store.sectors))
        volumes[slot] = volume
        try volume.resume()
        try origin.load(originLine)
        try origin.resume()
    }

    /// Suspends the origin; where a store is full and its writers are held, they cannot be waited for.
    func suspendOrigin() throws {
        try relieve()
        try origin.suspend()
        model.origin.collapse()
    }

    func drop(_ slot: Int) throws {
        try relieve()
        guard let volume = volumes[slot] else { return }
        try volume.suspend()
        model.snapshots[slot] = nil
        volumes[slot] = nil
        try volume.remove()
        if let store = stores.removeValue(forKey: slot), store.openHandles != 0 {
            fail("the store of snapshot \(slot) is still open \(store.openHandles) times")
        }
        wishes[slot] = nil
    }

    func reloadStore(_ slot: Int) throws {
        try compareAll()
        guard let volume = volumes[slot], let snapshot = model.snapshots[slot], snapshot.shape.isPersistent,
            let line = line(slot, "snapshot", snapshot.shape.sectors)
        else { return }
        // Nothing may be written to the origin while nobody keeps its old content.
        try suspendOrigin()
        let status = volume.status
        try volume.remove()
        let new = try Volume("snapshot\(slot)", lab: lab)
        volumes[slot] = new
        try new.load(line, options: options(slot))
        try new.resume()
        if model.snapshots[slot]?.state == .overflow { model.snapshots[slot]?.forgetOverflow() }
        try origin.resume()
        if status != "Overflow", new.status != status {
            fail("the status of snapshot \(slot) was \(status), and after loading it again is \(new.status)")
        }
    }

    func handOver(_ slot: Int) throws {
        try relieve()
        guard let volume = volumes[slot], let snapshot = model.snapshots[slot],
            let line = line(slot, "snapshot", snapshot.shape.sectors)
        else { return }
        if simulator.chance(2) {
            // The same device gets a new table.
            try volume.load(line, options: options(slot))
            try volume.resume()
        } else {
            let new = try Volume("snapshot\(slot)", lab: lab)
            try new.load(line, options: options(slot))
            try volume.suspend()
            try new.resume()
            volumes[slot] = new
            if volume.status != "Invalid" { fail("a snapshot that was handed over says \(volume.status)") }
            try volume.remove()
        }
    }

    func suspendAndResume(_ device: Int) throws {
        try relieve()
        guard let volume = volume(device) else { return }
        try volume.suspend()
        for _ in 0..<simulator.random(0...5) where !simulator.step() { break }
        try volume.resume()
    }

    func grow(_ slot: Int, _ chunks: UInt64) {
        guard let store = stores[slot], let wish = wishes[slot] else { return }
        store.grow(to: store.sectors + chunks * wish.chunk)
        model.snapshots[slot]?.shape.storeSectors = store.sectors
    }

    /// Lets the stores grow whose writers wait, which nothing else would ever end. What concerns several devices ends, and what
    /// may be held, for it would outlive a suspension, or may make a device go away by itself in the middle of something.
    func relieve() throws {
        try grow()
        let mayBeHeld = wishes.values.contains { $0.policy == "hold" || $0.policy == "detach" }
        try simulator.run { [self] in
            mayBeHeld ? underWay.isEmpty : !underWay.contains { $0.pending.operation == .discard }
        }
        if model.merging != nil, wishes.values.contains(where: { $0.policy == "detach" }) {
            try simulator.run { [origin] in origin.told(.mergeFinished) > 0 }
        }
        try sweep()
    }

    /// A snapshot that has ended with its full store is removed by itself.
    private func sweep() throws {
        for (slot, volume) in volumes where volume.told(.detached) > 0 {
            try simulator.run { [self] in volume.isRemoved && !underWay.contains { $0.device == slot } }
            model.snapshots[slot] = nil
            volumes[slot] = nil
            wishes[slot] = nil
            if let store = stores.removeValue(forKey: slot), store.openHandles != 0 {
                fail("the store of snapshot \(slot) is still open \(store.openHandles) times")
            }
        }
    }

    private func grow() throws {
        for _ in 0..<100 {
            for slot in wishes.keys.sorted() where wishes[slot]?.policy == "hold" {
                if model.snapshots[slot]?.mayBeFull == true { grow(slot, 40) }
            }
            let isFull = wishes.keys.contains { wishes[$0]?.policy == "hold" && model.snapshots[$0]?.mayBeFull == true }
            if !isFull { return }
        }
    }

    // MARK: Merging

    func startMerge(_ slot: Int) throws {
        guard model.merging == nil, let volume = volumes[slot], let snapshot = model.snapshots[slot],
            snapshot.shape.isPersistent, snapshot.shape.sectors == world.lineSectors,
            let line = line(slot, "snapshot-merge", world.lineSectors)
        else { return }
        try compareAll()
        guard model.snapshots[slot]?.state == .normal else { return }
        try origin.load(line, options: options(slot))
        try volume.suspend()
        try origin.suspend()
        model.startMerge(slot)
        mergingStore = stores.removeValue(forKey: slot)
        wishes[slot] = nil
        volumes[slot] = nil
        try origin.resume()
        try volume.remove()
    }

    /// The merge comes to its end, and the origin becomes what it was.
    func finishMerge() throws {
        guard let merging = model.merging else { return }
        try relieve()
        let expected = merging.shape.status(exceptions: 0)
        let hasEnded = { [origin] in origin.events.contains { $0.kind == .mergeFinished } }
        try simulator.run(until: hasEnded)
        if origin.status != expected { fail("a finished merge says \(origin.status) instead of \(expected)") }
        origin.forgetEvents()
        try origin.load(originLine)
        try origin.resume()
        model.endMerge()
        if let store = mergingStore, store.openHandles != 0 { fail("the merged store is still open") }
        mergingStore = nil
    }

    // MARK: Comparing

    /// Waits until nothing is under way, and compares states and all content with the model.
    func compareAll() throws {
        try relieve()
        try simulator.run { [self] in underWay.isEmpty }
        try finishMerge()
        try sweep()
        try settleStates()
        try compare(0)
        for slot in volumes.keys.sorted() { try compare(slot) }
    }

    private func settleStates() throws {
        for slot in volumes.keys.sorted() {
            guard let volume = volumes[slot], var snapshot = model.snapshots[slot] else { continue }
            let least = snapshot.exceptions.count
            let most = snapshot.exceptions.union(snapshot.doubtful).count
            let status = volume.status
            let legal = (least...most).map { snapshot.shape.status(exceptions: $0) }
            let isNormal = status != "Invalid" && status != "Overflow"
            switch snapshot.state {
            case .normal where snapshot.isFull && isNormal:
                fail("snapshot \(slot) says \(status), and needs \(least) chunks of \(snapshot.shape.capacity)")
            case .normal where !snapshot.mayBeFull && !legal.contains(status):
                fail("snapshot \(slot) says \(status), expected \(legal)")
            case .normal where status == "Overflow" && snapshot.shape.store != "PO":
                fail("a snapshot without overflow support says Overflow")
            case .overflow where isNormal, .invalid where status != "Invalid":
                fail("snapshot \(slot) was \(snapshot.state) and says \(status)")
            default: break
            }
            snapshot.state = status == "Invalid" ? .invalid : status == "Overflow" ? .overflow : .normal
            snapshot.content.collapse()
            model.snapshots[slot] = snapshot
        }
        model.origin.collapse()
    }

    /// Reads a device from one end to the other.
    private func compare(_ device: Int) throws {
        guard let volume = volume(device) else { return }
        let read = try volume.carryOut(.read, 0, volume.size)
        if device != 0, model.snapshots[device]?.state == .invalid {
            if read.errno == 0 { fail("snapshot \(device) is invalid and can be read") }
            return
        }
        if read.errno != 0 { return fail("device \(device) cannot be read: errno \(read.errno)") }
        let base = device == 0 ? model.origin.base : model.snapshots[device]?.content.base ?? []
        for (sector, tag) in read.tags.enumerated() where !base[sector].allows(tag) {
            return fail(
                "device \(device), sector \(sector) holds \(tag.map(String.init) ?? "a mixture"), legal: \(base[sector])"
            )
        }
    }

    /// Everything goes; nothing stays open.
    func removeAll() throws {
        for slot in volumes.keys.sorted() { try drop(slot) }
        try origin.remove()
        for disk in lab.disks where disk.openHandles != 0 {
            fail("\(disk.name) is still open \(disk.openHandles) times")
        }
        if simulator.copiers != 0 { fail("\(simulator.copiers) copy clients are left") }
    }
}
