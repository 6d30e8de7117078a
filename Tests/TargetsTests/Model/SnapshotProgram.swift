import TestSupport

/// A program for an origin and its snapshots: what a shrinker can drop steps of. Numbers are taken modulo what there is
/// when a step is done, and a step that makes no sense then does nothing.
struct SnapshotProgram: CustomStringConvertible {
    /// What the devices are like.
    struct World: Hashable {
        var originSectors: UInt64
        /// The length of the origin's table line.
        var lineSectors: UInt64
        /// The logical block of all disks, in sectors.
        var block: UInt64
        /// Whether the simulated disks discard.
        var canDiscard: Bool
        /// Whether requests may overlap with others under way.
        var overlaps: Bool
    }

    /// A snapshot that is to be taken.
    struct Wish: Hashable {
        var chunk: UInt64
        var store: String
        var features: [String]
        /// The length of the snapshot's line beyond the origin's, in sectors; no longer than the device in any case.
        var excess: Int
        /// The size of its store in chunks.
        var storeChunks: UInt64
        var policy: String?
    }

    enum Step: Hashable {
        /// Device 0 is the origin, the others are snapshots.
        case write(device: Int, sector: UInt64, count: UInt64, isFUA: Bool)
        case read(device: Int, sector: UInt64, count: UInt64)
        case discard(device: Int, sector: UInt64, count: UInt64)
        case flush(device: Int)
        /// So many completions.
        case wait(Int)
        /// Everything ends, and everything is compared.
        case check
        case take(slot: Int, Wish)
        case drop(slot: Int)
        /// The store is given up and loaded again.
        case reloadStore(slot: Int)
        /// Another target takes the snapshot over, with I/O to the origin going on.
        case handOver(slot: Int)
        case merge(slot: Int)
        case suspendAndResume(device: Int)
        case grow(slot: Int, chunks: UInt64)
    }

    var seed: UInt64
    var world: World
    var steps: [Step]

    var description: String {
        "seed \(seed), \(world)\n" + steps.map { "    \($0)" }.joined(separator: "\n")
    }
}

extension SnapshotProgram {
    /// The program of a seed.
    init(seed: UInt64, steps count: Int) {
        var numbers = SeededNumbers(seed)
        func pick<T>(_ values: [T]) -> T { values[Int.random(in: 0..<values.count, using: &numbers)] }
        let block: UInt64 = pick([1, 1, 1, 8])
        // Now and then so many chunks that an area of 256 exceptions becomes full.
        let size: UInt64 = pick([90, 128, 203, 260, 311, 311, 2 << 10, 2600])
        self.seed = seed
        let sectors = (size + block - 1) / block * block
        world = World(
            originSectors: sectors, lineSectors: pick([sectors, sectors, sectors, sectors - 3 * block]), block: block,
            canDiscard: pick([true, true, false]),
            overlaps: pick([false, false, true]))
        steps = []
        var maker = StepMaker(world: world, numbers: numbers)
        while steps.count < count { steps.append(maker.next()) }
    }
}

/// Draws steps.
private struct StepMaker {
    let world: SnapshotProgram.World
    var numbers: SeededNumbers

    private mutating func pick<T>(_ values: [T]) -> T { values[Int.random(in: 0..<values.count, using: &numbers)] }
    private mutating func random(_ range: Range<Int>) -> Int { Int.random(in: range, using: &numbers) }

    mutating func next() -> SnapshotProgram.Step {
        switch random(0..<100) {
        case 0..<38:
            let (sector, count) = place()
            return .write(device: device(), sector: sector, count: count, isFUA: random(0..<6) == 0)
        case 38..<55:
            let (sector, count) = place()
            return .read(device: device(), sector: sector, count: count)
        case 55..<58:
            let (sector, count) = place()
            return .discard(device: random(1..<4), sector: sector, count: count)
        case 58..<61: return .flush(device: device())
        case 61..<75: return .wait(random(1..<12))
        case 75..<78: return .check
        case 78..<86: return .take(slot: random(1..<4), wish())
        case 86..<88: return .drop(slot: random(1..<4))
        case 88..<90: return .reloadStore(slot: random(1..<4))
        case 90..<93: return .handOver(slot: random(1..<4))
        case 93..<95: return .merge(slot: random(1..<4))
        case 95..<98: return .suspendAndResume(device: random(0..<4))
        default: return .grow(slot: random(1..<4), chunks: UInt64(random(1..<40)))
        }
    }

    private mutating func device() -> Int { pick([0, 0, 0, 1, 2, 3]) }

    /// Parts of chunks, whole chunks, long runs, a few sectors at the end.
    private mutating func place() -> (UInt64, UInt64) {
        let chunk: UInt64 = pick([1, 8, 16, 32])
        let size = world.originSectors
        let count: UInt64
        switch random(0..<10) {
        case 0..<3: count = UInt64(random(1..<9))
        case 3..<6: count = chunk
        case 6..<8: count = chunk * UInt64(random(1..<5))
        case 8: count = UInt64(random(1..<120))
        default: count = size > 1000 ? UInt64(random(200..<900)) : size / 2
        }
        let sector = UInt64(random(0..<Int(size)))
        return (pick([sector, sector / chunk * chunk, sector / chunk * chunk]), count)
    }

    private mutating func wish() -> SnapshotProgram.Wish {
        let chunk = pick([1, 1, 8, 16, 32, 8].filter { $0 >= world.block })
        let all = world.originSectors / chunk + 2
        // Mostly enough for everything, header and areas included; sometimes not, and sometimes hardly anything.
        let enough = all + 3 + all / (chunk * 32)
        let store = pick(["P", "P", "PO", "N"])
        let features = pick([[], [], ["discard_zeroes_cow"], ["discard_zeroes_cow", "discard_passdown_origin"]])
        return SnapshotProgram.Wish(
            chunk: chunk, store: store, features: features,
            excess: pick([0, 0, 0, 0, -Int(chunk + 1), -30, Int(chunk), 9]),
            storeChunks: pick([enough, enough, enough, enough / 2, UInt64(random(3..<12)), chunk * 32 + 2]),
            policy: pick([nil, nil, nil, "hold", "detach"]))
    }
}
