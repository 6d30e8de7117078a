import BlockIO
import Targets

/// An origin with one snapshot or none, for tests of one thing at a time.
final class SnapshotFixture {
    let lab: SnapshotLab
    let originDisk: SimulatedDisk
    let store: SimulatedDisk
    let origin: Volume
    let snapshot: Volume
    /// What the origin held at the beginning.
    let frozen: [UInt64]

    /// Makes the disks; the origin is full of numbers that are all different, the store of zeroes.
    init(origin sectors: Int = 256, store storeSectors: UInt64 = 2048, seed: UInt64 = 1) throws {
        lab = SnapshotLab(seed: seed)
        frozen = SectorTags.fresh(0, count: sectors)
        originDisk = lab.disk("/origin", content: SectorTags.bytes(frozen))
        store = lab.disk("/store", sectors: storeSectors)
        origin = try Volume("origin", lab: lab)
        snapshot = try Volume("snapshot", lab: lab)
        try origin.load("0 \(sectors) snapshot-origin /origin")
        try origin.resume()
    }

    /// The same with the snapshot: the words behind the store.
    convenience init(
        _ words: String, origin sectors: Int = 256, store storeSectors: UInt64 = 2048, seed: UInt64 = 1,
        options: TargetOptions = TargetOptions()
    ) throws {
        try self.init(origin: sectors, store: storeSectors, seed: seed)
        try take(words, options: options)
    }

    var simulator: Simulator { lab.simulator }

    func line(_ words: String, type: String = "snapshot", sectors: Int? = nil) -> String {
        "0 \(sectors ?? frozen.count) \(type) /origin /store \(words)"
    }

    /// Takes the snapshot.
    func take(_ words: String, sectors: Int? = nil, options: TargetOptions = TargetOptions()) throws {
        try origin.suspend()
        try snapshot.load(line(words, sectors: sectors), options: options)
        try snapshot.resume()
        try origin.resume()
    }

    /// The snapshot is merged into the origin from now on.
    func merge(_ words: String) throws {
        try origin.load(line(words, type: "snapshot-merge"))
        try snapshot.suspend()
        try origin.resume()
        try snapshot.remove()
    }

    /// Writes new numbers, from `tag` on, and waits.
    @discardableResult
    func write(
        _ volume: Volume, _ sector: UInt64, _ count: UInt64, tag: UInt64, isFUA: Bool = false
    ) throws -> Int32 {
        try volume.carryOut(.write, sector, count, tags: (0..<count).map { tag + $0 }, isFUA: isFUA).errno
    }

    /// The numbers that a range is full of.
    func tags(_ volume: Volume, _ sector: UInt64 = 0, _ count: UInt64? = nil) throws -> [UInt64?] {
        let read = try volume.carryOut(.read, sector, count ?? volume.size - sector)
        return read.errno == 0 ? read.tags : []
    }

    /// The kinds and ranges of what a disk was asked for since some moment, sorted.
    func operations(of disk: SimulatedDisk, since moment: Int) -> [String] {
        simulator.recording.operations(of: disk, since: moment).map {
            $0.kind == .flush ? "flush" : "\($0.kind)\($0.isFUA ? " FUA" : "") \($0.range.start)+\($0.range.count)"
        }
    }
}
