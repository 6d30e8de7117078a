import BlockIO
import Glibc
import Targets
import TestSupport

/// Runs a program on simulated disks and compares everything with the model.
final class SnapshotRun {
    /// What was not as it has to be.
    struct Mismatch: Error, CustomStringConvertible {
        let description: String
    }

    let lab: SnapshotLab
    let world: SnapshotProgram.World
    let originDisk: SimulatedDisk
    let origin: Volume
    var model: SnapshotModel
    var volumes: [Int: Volume] = [:]
    var stores: [Int: SimulatedDisk] = [:]
    var wishes: [Int: SnapshotProgram.Wish] = [:]
    /// The store of the snapshot that is being merged.
    var mergingStore: SimulatedDisk?
    /// Told what a new store holds.
    var onNewStore: (([UInt8]) -> Void)?
    /// Requests under way, by device.
    var underWay: [(device: Int, pending: PendingRequest)] = []
    private var mismatches: [String] = []
    private var lastTag = 0
    private var lastStore = 0

    init(_ program: SnapshotProgram, schedule: UInt64) throws {
        lab = SnapshotLab(seed: program.seed &* 31 &+ schedule)
        world = program.world
        let tags = SectorTags.fresh(0, count: Int(world.originSectors))
        originDisk = lab.disk("/origin", content: SectorTags.bytes(tags))
        originDisk.logicalBlockSectors = world.block
        originDisk.canDiscard = world.canDiscard
        model = SnapshotModel(origin: SectorContent(tags: tags))
        origin = try Volume("origin", lab: lab)
        try origin.load(originLine)
        try origin.resume()
    }

    var simulator: Simulator { lab.simulator }
    var originLine: String { "0 \(world.lineSectors) snapshot-origin /origin" }

    /// Does all steps and a last check.
    func run(_ program: SnapshotProgram) throws {
        for (number, step) in program.steps.enumerated() {
            if traces { print("  \(number) \(step)") }
            do {
                try perform(step)
                try check()
            } catch let error as SnapshotRun.Mismatch {
                throw Mismatch(description: "step \(number), \(step): \(error)")
            } catch {
                throw Mismatch(description: "step \(number), \(step): \(error)")
            }
        }
        do {
            try compareAll()
            try removeAll()
            try check()
        } catch { throw Mismatch(description: "at the end: \(error)") }
    }

    func fail(_ text: String) { mismatches.append(text) }

    private func check() throws {
        if let first = simulator.violations.first { throw Mismatch(description: first) }
        if let first = mismatches.first { throw Mismatch(description: first) }
    }

    func perform(_ step: SnapshotProgram.Step) throws {
        switch step {
        case .write(let device, let sector, let count, let isFUA):
            startWrite(device, sector, count, isFUA: isFUA)
        case .read(let device, let sector, let count): startRead(device, sector, count)
        case .discard(let device, let sector, let count): startDiscard(device, sector, count)
        case .flush(let device): startFlush(device)
        case .wait(let steps): for _ in 0..<steps where !simulator.step() { return }
        case .check: try compareAll()
        case .take(let slot, let wish): try take(slot, wish)
        case .drop(let slot): try drop(slot)
        case .reloadStore(let slot): try reloadStore(slot)
        case .handOver(let slot): try handOver(slot)
        case .merge(let slot): try startMerge(slot)
        case .suspendAndResume(let device): try suspendAndResume(device)
        case .grow(let slot, let chunks):
            // What was full before stays so: that has to be known.
            if model.snapshots[slot]?.mayBeFull == true { try compareAll() }
            grow(slot, chunks)
        }
    }

    /// New content for some sectors.
    private func freshTag(_ count: UInt64) -> UInt64 {
        lastTag += 1
        return UInt64(lastTag) << 24 | 1 << 60
    }

    func newStore(_ sectors: UInt64) -> SimulatedDisk {
        lastStore += 1
        // A new store is known by zeroes where its header will be. The rest is what somebody has left behind.
        let rest = Bytes.random(Int(sectors - 1) * 512, seed: UInt64(lastStore))
        let store = lab.disk("/store\(lastStore)", content: [UInt8](repeating: 0, count: 512) + rest)
        store.logicalBlockSectors = world.block
        store.canDiscard = world.canDiscard
        onNewStore?(store.content)
        return store
    }

    // MARK: Requests

    func volume(_ device: Int) -> Volume? { device == 0 ? origin : volumes[device] }

    /// The range of a request, cut to the device and to what does not overlap; nil where nothing is left.
    private func range(_ device: Int, _ sector: UInt64, _ count: UInt64, isWrite: Bool) -> SectorRange? {
        guard let volume = volume(device), !volume.isSuspended else { return nil }
        let size = volume.size / world.block * world.block
        guard size > 0 else { return nil }
        let start = sector % size / world.block * world.block
        let end = min(size, start + max(world.block, count / world.block * world.block))
        let range = SectorRange(start: start, count: end - start)
        let isFree = underWay.allSatisfy {
            $0.device != device || !$0.pending.range.overlaps(range) || $0.pending.operation == .read && !isWrite
        }
        return isFree || world.overlaps ? range : nil
    }

    private func startWrite(_ device: Int, _ sector: UInt64, _ count: UInt64, isFUA: Bool) {
        guard let range = range(device, sector, count, isWrite: true), let volume = volume(device) else { return }
        let tag = freshTag(range.count)
        let moment = simulator.recording.tick()
        let number = change(device) { $0.begin(range, tag: tag, at: moment) }
        if device == 0 { model.willWriteOrigin(range) } else { model.willWrite(device, range) }
        let wasSick = model.snapshots[device]?.state != .normal
        start(volume, device, .write, range, tags: (0..<range.count).map { tag + $0 }, isFUA: isFUA) { [self] ended in
            let now = simulator.recording.tick()
            change(device) { $0.end(number, at: now, failed: ended.errno != 0, isDurable: isFUA) }
            judge(ended, device)
            if device != 0, wasSick, ended.errno == 0 { fail("a write to snapshot \(device) succeeded that could not") }
        }
    }

    private func startRead(_ device: Int, _ sector: UInt64, _ count: UInt64) {
        guard let range = range(device, sector, count, isWrite: false), let volume = volume(device) else { return }
        start(volume, device, .read, range) { [self] ended in
            judge(ended, device)
            guard ended.errno == 0, let content = content(device) else { return }
            let now = simulator.recording.tick()
            for (index, tag) in ended.tags.enumerated() {
                let place = Int(range.start) + index
                let legal = content.legal(place, readFrom: ended.submitted, to: now)
                if !legal.allows(tag) {
                    return fail("device \(device), sector \(place): \(hex(tag)) was read, legal: \(legal)")
                }
            }
        }
    }

    private func hex(_ tag: UInt64?) -> String { tag.map { "\($0)" } ?? "a mixture" }

    private func startDiscard(_ device: Int, _ sector: UInt64, _ count: UInt64) {
        guard let range = range(device, sector, count, isWrite: true), let volume = volume(device),
            let wish = wishes[device], !wish.features.isEmpty
        else { return }
        let moment = simulator.recording.tick()
        // What a passed down discard does to the origin, every snapshot sees that has not kept the sectors.
        let concerned = wish.features.count == 2 ? [0] + model.snapshots.keys.sorted() : [device]
        guard concerned.count == 1 || !underWay.contains(where: { $0.pending.range.overlaps(range) }) else { return }
        var numbers: [(Int, Int)] = []
        for other in concerned { numbers.append((other, change(other) { $0.begin(range, tag: nil, at: moment) })) }
        start(volume, device, .discard, range) { [self] ended in
            let now = simulator.recording.tick()
            for (other, number) in numbers {
                change(other) { $0.end(number, at: now, failed: ended.errno != 0, isDurable: false) }
            }
            judge(ended, device)
        }
    }

    private func startFlush(_ device: Int) {
        guard let volume = volume(device), !volume.isSuspended else { return }
        start(volume, device, .flush, SectorRange(start: 0, count: 0)) { [self] ended in
            let now = simulator.recording.tick()
            if ended.errno != 0 {
                // One that was full may have gone by itself.
                if volume.told(.detached) == 0 { fail("a flush of device \(device) failed: \(ended.errno)") }
                return
            }
            change(device) { $0.flushed(from: ended.submitted, to: now) }
        }
    }

    private func start(
        _ volume: Volume, _ device: Int, _ operation: IOOperation.Kind, _ range: SectorRange, tags: [UInt64]? = nil,
        isFUA: Bool = false, ended: @escaping (PendingRequest) -> Void
    ) {
        var isOver = false
        let pending = volume.start(operation, range.start, range.count, tags: tags, isFUA: isFUA) { [self] pending in
            isOver = true
            underWay.removeAll { $0.pending === pending }
            ended(pending)
        }
        if !isOver { underWay.append((device, pending)) }
    }

    /// Only a snapshot that may be in trouble may answer with an error.
    private func judge(_ ended: PendingRequest, _ device: Int) {
        guard ended.errno != 0 else { return }
        let isHeld = wishes[device]?.policy == "hold"
        if device != 0, !isHeld, model.snapshots[device]?.mayFail ?? true { return }
        fail(
            "\(ended.operation) of device \(device) at \(ended.range.start)+\(ended.range.count): errno \(ended.errno)")
    }

    private func content(_ device: Int) -> SectorContent? {
        device == 0 ? model.origin : model.snapshots[device]?.content
    }

    @discardableResult
    private func change(_ device: Int, _ body: (inout SectorContent) -> Int) -> Int {
        if device == 0 { return body(&model.origin) }
        guard var content = model.snapshots[device]?.content else { return 0 }
        model.snapshots[device]?.content = SectorContent([])
        let result = body(&content)
        model.snapshots[device]?.content = content
        return result
    }

    private func change(_ device: Int, _ body: (inout SectorContent) -> Void) {
        change(device) { content -> Int in
            body(&content)
            return 0
        }
    }
}

/// Whether programs say what they do: UCOPYD_MODEL_TRACE.
private let traces = getenv("UCOPYD_MODEL_TRACE") != nil
