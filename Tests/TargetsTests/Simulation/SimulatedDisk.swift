import BlockIO
import Glibc
import Targets

/// A disk in memory, with a volatile cache, faults on demand, and completions in an order that the simulator chooses.
final class SimulatedDisk {
    /// An error that is yet to happen.
    struct Fault {
        var kinds: Set<IOOperation.Kind>
        /// Where; nil for anywhere.
        var range: SectorRange?
        /// How many operations that fit go well before it.
        var skipped = 0
        /// How many fail.
        var times = Int.max
        var errno = EIO
    }

    /// Operations that do not end until the hold is taken away.
    struct Hold {
        var kinds: Set<IOOperation.Kind>
        var range: SectorRange?
    }

    let simulator: Simulator
    let name: String
    let number: Int
    let deviceNumber: DeviceNumber
    var logicalBlockSectors: UInt64 = 1
    var canDiscard = true
    var canWriteZeroes = true
    var faults: [Fault] = []
    /// Whether some sectors of a write that fails are written all the same.
    var storesFailedWrites = true
    var holds: [Hold] = []
    /// Handles that have not been released.
    private(set) var openHandles = 0
    private(set) var content: [UInt8]

    init(_ simulator: Simulator, _ name: String, number: Int, content: [UInt8]) {
        self.simulator = simulator
        self.name = name
        self.number = number
        guard let deviceNumber = DeviceNumber("7:\(number)") else { preconditionFailure("disk \(number)") }
        self.deviceNumber = deviceNumber
        self.content = content
    }

    convenience init(_ simulator: Simulator, _ name: String, number: Int, sectors: UInt64) {
        self.init(simulator, name, number: number, content: [UInt8](repeating: 0, count: Int(sectors) * 512))
    }

    var sectors: UInt64 { UInt64(content.count / 512) }

    /// A way to use it; each has to be released.
    func open(writing: Bool) -> DiskHandle {
        openHandles += 1
        return DiskHandle(disk: self, isWritable: writing)
    }

    func handleReleased() { openHandles -= 1 }

    /// Makes it larger.
    func grow(to sectors: UInt64) {
        precondition(sectors >= self.sectors)
        content += [UInt8](repeating: 0xDD, count: Int(sectors) * 512 - content.count)
    }

    /// Takes its end away.
    func shrink(to sectors: UInt64) {
        precondition(sectors <= self.sectors)
        content.removeLast(content.count - Int(sectors) * 512)
    }

    /// Replaces bytes behind everybody's back.
    func put(_ bytes: [UInt8], at offset: Int) { content.replaceSubrange(offset..<offset + bytes.count, with: bytes) }

    /// Some of its bytes.
    func bytes(at offset: Int, count: Int) -> [UInt8] { Array(content[offset..<offset + count]) }

    /// The bytes of a range.
    func bytes(_ range: SectorRange) -> [UInt8] {
        bytes(at: Int(range.start) * 512, count: Int(range.count) * 512)
    }

    // MARK: Carrying operations out

    /// The errno that an operation is going to end with.
    func verdict(_ kind: IOOperation.Kind, _ range: SectorRange) -> Int32 {
        if kind != .flush, range.end > sectors { return EIO }
        if range.start % logicalBlockSectors != 0 || range.count % logicalBlockSectors != 0 { return EINVAL }
        if kind == .discard, !canDiscard { return EOPNOTSUPP }
        for index in faults.indices where faults[index].kinds.contains(kind) {
            if let place = faults[index].range, kind != .flush, !place.overlaps(range) { continue }
            if faults[index].skipped > 0 {
                faults[index].skipped -= 1
                continue
            }
            if faults[index].times > 0 {
                faults[index].times -= 1
                return faults[index].errno
            }
        }
        return 0
    }

    /// Whether operations of this kind have to wait.
    func isHeld(_ kind: IOOperation.Kind, _ range: SectorRange) -> Bool {
        holds.contains { $0.kinds.contains(kind) && ($0.range.map { $0.overlaps(range) || kind == .flush } ?? true) }
    }

    /// Stores bytes; those of a write that fails only in part.
    func store(_ bytes: [UInt8], at range: SectorRange, failed: Bool) {
        for sector in 0..<Int(range.count) where !failed || storesFailedWrites && simulator.chance(2) {
            let place = Int(range.start) + sector
            guard (place + 1) * 512 <= content.count else { return }
            content.withUnsafeMutableBytes { target in
                bytes.withUnsafeBytes { source in
                    UnsafeMutableRawBufferPointer(rebasing: target[place * 512..<(place + 1) * 512])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[sector * 512..<(sector + 1) * 512]))
                }
            }
        }
    }

    /// What an operation puts on the disk; nil for one that changes nothing.
    func newContent(_ kind: IOOperation.Kind, _ range: SectorRange, from memory: UnsafeRawPointer?) -> [UInt8]? {
        let length = Int(range.count) * 512
        switch kind {
        case .write:
            guard let memory else { return nil }
            return Array(UnsafeRawBufferPointer(start: memory, count: length))
        case .writeZeroes:
            return [UInt8](repeating: 0, count: length)
        case .discard:
            // Nobody says what a discarded range reads as.
            switch range.end > sectors ? 0 : simulator.random(0...2) {
            case 0: return nil
            case 1: return [UInt8](repeating: 0, count: length)
            default: return [UInt8](repeating: 0xDC, count: length)
            }
        default:
            return nil
        }
    }
}
