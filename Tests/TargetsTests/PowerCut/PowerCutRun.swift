import BlockIO
import TestSupport

@testable import Targets

/// A run on simulated disks that is recorded, and what is left of it after the power was cut at any moment.
final class PowerCutRun {
    /// What was lost or made up.
    struct Mismatch: Error, CustomStringConvertible {
        let description: String
    }

    /// A snapshot of the run.
    struct Member {
        let line: String
        let store: Int
        let shape: SnapshotModel.Shape
    }

    let run: SnapshotRun
    /// Whether the stores are so small that they may be full at any time.
    var mayRunFull = false
    /// The snapshots there are, by slot, while nothing is merged.
    private var members: [Int: Member] = [:]
    private var merged: Member?
    /// When the snapshots were taken that were taken during the recording.
    private var taken: [Int: Int] = [:]
    /// The content of the disks when the recording began.
    private var bases: [[UInt8]] = []
    private(set) var first = 0
    private var numbers: SeededNumbers

    init(_ program: SnapshotProgram) throws {
        run = try SnapshotRun(program, schedule: 0)
        numbers = SeededNumbers(program.seed &+ 77)
    }

    var recording: Recording { run.simulator.recording }

    /// Everything so far is on the disks; from now on it is recorded.
    func begin() throws {
        try run.compareAll()
        for device in [0] + run.volumes.keys.sorted() {
            guard let volume = run.volume(device) else { continue }
            _ = try volume.carryOut(.flush)
        }
        try run.simulator.settle()
        for slot in run.volumes.keys.sorted() { members[slot] = member(slot) }
        bases = run.lab.disks.map(\.content)
        recording.clear()
        recording.keepsBytes = true
        first = recording.tick()
    }

    private func member(_ slot: Int) -> Member? {
        guard let snapshot = run.model.snapshots[slot], snapshot.shape.isPersistent, let store = run.stores[slot],
            let line = run.line(slot, "snapshot", snapshot.shape.sectors)
        else { return nil }
        return Member(line: line, store: store.number, shape: snapshot.shape)
    }

    /// A snapshot is taken while everything is recorded: until then its store need only be good for being made again.
    func take(_ slot: Int, _ wish: SnapshotProgram.Wish) throws {
        let store = run.lab.disks.count
        run.onNewStore = { [self] in bases.append($0) }
        try run.take(slot, wish)
        members[slot] = member(slot)
        taken[slot] = recording.tick()
        if run.stores[slot]?.number != store { throw Mismatch(description: "the store of snapshot \(slot) is another") }
    }

    /// A merge begins and is recorded.
    func merge(_ slot: Int) throws {
        merged = members.removeValue(forKey: slot)
        try run.startMerge(slot)
        guard run.model.merging != nil else {
            members[slot] = merged
            merged = nil
            return
        }
    }

    var isMerging: Bool { merged != nil }

    // MARK: Cutting

    /// Cuts the power before a moment, and looks at what is there afterwards.
    func check(cutBefore moment: Int, style: CutStyle, constructs: Bool) throws {
        let images = bases.indices.map { disk in
            recording.content(
                of: disk, base: bases[disk], cutBefore: moment, style: style, numbers: &numbers)
        }
        let place = "cut before moment \(moment) of \(first)...\(recording.moment), \(style)"
        do {
            let originTags = SectorTags.tags(images[0])
            for (slot, member) in members {
                guard let content = run.model.snapshots[slot]?.content else { continue }
                if let time = taken[slot], moment <= time {
                    try lookAtUnfinished(images[member.store], slot)
                } else {
                    try look(images, originTags, member, content, moment, "snapshot \(slot)")
                }
            }
            if let merged { try look(images, originTags, merged, run.model.origin, moment, "the merged origin") }
            if merged == nil { try compare(originTags, run.model.origin, moment, "the origin") }
            if constructs { try construct(images, moment) }
        } catch { throw Mismatch(description: "\(place): \(error)") }
    }

    /// Reads a snapshot out of the images.
    private func look(
        _ images: [[UInt8]], _ origin: [UInt64?], _ member: Member, _ content: SectorContent, _ moment: Int,
        _ what: String
    ) throws {
        let reader: KernelReader
        do { reader = try KernelReader(images[member.store]) } catch {
            throw Mismatch(description: "\(what) cannot be loaded: \(error)")
        }
        if reader.isNew { throw Mismatch(description: "\(what) has lost its header") }
        guard reader.isValid else {
            if mayBeInvalid(member) { return }
            throw Mismatch(description: "\(what) is invalid")
        }
        let tags = reader.snapshot(
            Int(member.shape.sectors), origin: origin, store: SectorTags.tags(images[member.store]))
        try compare(tags, content, moment, what)
    }

    /// A store that was not yet in use is blank, or has no exceptions.
    private func lookAtUnfinished(_ store: [UInt8], _ slot: Int) throws {
        let reader: KernelReader
        do { reader = try KernelReader(store) } catch {
            throw Mismatch(description: "the new store of snapshot \(slot) cannot be loaded: \(error)")
        }
        guard reader.isNew || reader.isValid && reader.used == 0 else {
            throw Mismatch(description: "the new store of snapshot \(slot) has \(reader.used) exceptions")
        }
    }

    private func mayBeInvalid(_ member: Member) -> Bool {
        mayRunFull
            || run.model.snapshots.values.contains { $0.shape == member.shape && $0.mayFail }
    }

    private func compare(_ tags: [UInt64?], _ content: SectorContent, _ moment: Int, _ what: String) throws {
        for (sector, tag) in tags.enumerated() where sector < content.count {
            let legal = content.legal(sector, afterCutBefore: moment)
            if !legal.allows(tag) {
                throw Mismatch(
                    description:
                        "\(what), sector \(sector) holds \(tag.map(String.init) ?? "a mixture"), legal: \(legal)")
            }
        }
    }

    /// Makes the targets anew and reads through them, with everything going on.
    private func construct(_ images: [[UInt8]], _ moment: Int) throws {
        let lab = SnapshotLab(seed: numbers.next())
        for (disk, image) in zip(run.lab.disks, images) {
            let new = lab.disk(disk.name, content: image)
            new.logicalBlockSectors = disk.logicalBlockSectors
        }
        var volumes: [(Volume, Member, SectorContent)] = []
        for (slot, member) in members where taken[slot].map({ $0 < moment }) ?? true {
            guard let content = run.model.snapshots[slot]?.content else { continue }
            let volume = try Volume("snapshot\(slot)", lab: lab)
            try volume.load(member.line)
            try volume.resume()
            volumes.append((volume, member, content.afterCut(before: moment)))
        }
        var originContent = run.model.origin.afterCut(before: moment)
        let origin = try Volume("origin", lab: lab)
        try origin.load(merged?.line.replacing("snapshot ", with: "snapshot-merge ") ?? run.originLine)
        try origin.resume()
        if merged != nil {
            for _ in 0..<Int.random(in: 0..<30, using: &numbers) where !lab.simulator.step() { break }
        }
        func compareAll() throws {
            for (volume, member, content) in volumes {
                if volume.status == "Invalid", mayBeInvalid(member) { continue }
                try compare(try read(volume), content, .max, volume.name)
            }
            try compare(try read(origin), originContent, .max, "the origin device")
        }
        try compareAll()
        if merged != nil {
            // The second time when everything has been merged.
            try lab.simulator.settle()
            try compareAll()
            return
        }
        // The second time after it has been used, through the targets and past them.
        try use(origin, &originContent)
        if !mayRunFull { for index in volumes.indices { try use(volumes[index].0, &volumes[index].2) } }
        try compareAll()
        let after = lab.disks.map(\.content)
        for (_, member, content) in volumes {
            try look(after, SectorTags.tags(after[0]), member, content, .max, "after being used, \(member.line)")
        }
        if let violation = lab.simulator.violations.first { throw Mismatch(description: violation) }
    }

    /// Writes here and there.
    private func use(_ volume: Volume, _ content: inout SectorContent) throws {
        for _ in 0..<4 where volume.status != "Invalid" {
            let start = UInt64.random(in: 0..<volume.size, using: &numbers)
            let range = SectorRange(
                start: start, count: min(UInt64.random(in: 1...20, using: &numbers), volume.size - start))
            let tag = UInt64.random(in: 1 << 61..<1 << 62, using: &numbers)
            let write = try volume.carryOut(.write, range.start, range.count, tags: (0..<range.count).map { tag + $0 })
            if write.errno != 0 { throw Mismatch(description: "\(volume.name) cannot be written to: \(write.errno)") }
            let number = content.begin(range, tag: tag, at: 0)
            content.end(number, at: 1, failed: false, isDurable: true)
            content.collapse()
        }
    }

    private func read(_ volume: Volume) throws -> [UInt64?] {
        let read = try volume.carryOut(.read, 0, volume.size)
        if read.errno != 0 { throw Mismatch(description: "\(volume.name) cannot be read: errno \(read.errno)") }
        return read.tags
    }
}

extension String {
    /// With the first occurrence of a text replaced.
    fileprivate func replacing(_ text: String, with other: String) -> String {
        guard let range = firstRange(of: text) else { return self }
        return self[..<range.lowerBound] + other + self[range.upperBound...]
    }
}
