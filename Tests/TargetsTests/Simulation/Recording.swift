import BlockIO
import TestSupport

/// What disks were asked for and what they did, as one sequence of moments over all disks: what a power cut is made of.
final class Recording {
    /// One operation of one disk.
    struct Operation {
        let disk: Int
        let kind: IOOperation.Kind
        let range: SectorRange
        let isFUA: Bool
        /// The sectors' bytes as they were submitted; zeroes or what a discard left. Empty for reads and flushes.
        let bytes: [UInt8]
        let submitted: Int
        /// When it ended; nil while it is under way.
        var completed: Int?
        var errno: Int32 = 0
    }

    /// Everything so far, in order of submission.
    private(set) var operations: [Operation] = []
    /// The number of the present moment.
    private(set) var moment = 0
    /// Whether bytes are kept: not needed where no power is cut.
    var keepsBytes = false

    /// The numbers of the operations in the order in which they ended.
    private(set) var completions: [Int] = []

    /// Something happens: the moment it happens at.
    func tick() -> Int {
        moment += 1
        return moment
    }

    func submitted(
        disk: Int, _ kind: IOOperation.Kind, _ range: SectorRange, isFUA: Bool, bytes: @autoclosure () -> [UInt8]
    ) -> Int {
        operations.append(
            Operation(
                disk: disk, kind: kind, range: range, isFUA: isFUA, bytes: keepsBytes ? bytes() : [],
                submitted: tick()))
        return operations.count - 1
    }

    func completed(_ operation: Int, errno: Int32) {
        operations[operation].completed = tick()
        operations[operation].errno = errno
        completions.append(operation)
    }

    /// Forgets everything; nothing may be under way.
    func clear() {
        operations = []
        completions = []
    }

    /// The operations of a disk since some moment.
    func operations(of disk: SimulatedDisk, since moment: Int = 0) -> [Operation] {
        operations.filter { $0.disk == disk.number && $0.submitted > moment }
    }
}

/// How much of what a disk had not been told to keep is still there after a power cut.
enum CutStyle: CaseIterable {
    /// Only what a flush or a forced write made durable.
    case nothingMore
    /// Everything that was submitted.
    case everything
    /// Everything that had ended.
    case everythingEnded
    /// Each write or not, by chance.
    case some
    /// Each sector of each write or not, by chance.
    case torn
}

extension Recording {
    /// The content of a disk after the power was cut just before some moment.
    /// - Parameter base: its content before the first operation.
    func content(
        of disk: Int, base: [UInt8], cutBefore cut: Int, style: CutStyle, numbers: inout SeededNumbers
    ) -> [UInt8] {
        let mine = operations.filter { $0.disk == disk && $0.submitted < cut }
        let flushes = mine.filter { $0.kind == .flush && $0.errno == 0 && ($0.completed ?? .max) < cut }
        let writes = mine.filter { !$0.bytes.isEmpty }.sorted {
            ($0.completed ?? .max, $0.submitted) < ($1.completed ?? .max, $1.submitted)
        }
        var content = base
        for write in writes {
            let ended = write.completed.map { $0 < cut } ?? false
            let isDurable =
                ended && write.errno == 0
                && (write.isFUA || flushes.contains { $0.submitted > write.completed ?? .max })
            let isKept: (Int) -> Bool
            switch isDurable ? .everything : style {
            case .nothingMore: isKept = { _ in false }
            case .everything: isKept = { _ in true }
            case .everythingEnded: isKept = { _ in ended }
            case .some:
                let kept = Bool.random(using: &numbers)
                isKept = { _ in kept }
            case .torn:
                let bits = numbers.next()
                isKept = { bits >> UInt64($0 & 63) & 1 == 1 }
            }
            let first = Int(write.range.start)
            for sector in 0..<Int(write.range.count) where isKept(sector) {
                if (first + sector + 1) * 512 > content.count {
                    content += [UInt8](repeating: 0, count: (first + sector + 1) * 512 - content.count)
                }
                content.copy(write.bytes, from: sector, to: first + sector)
            }
        }
        return content
    }
}

extension [UInt8] {
    /// Copies a sector.
    fileprivate mutating func copy(_ other: [UInt8], from source: Int, to target: Int) {
        withUnsafeMutableBytes { target_ in
            other.withUnsafeBytes { source_ in
                UnsafeMutableRawBufferPointer(rebasing: target_[target * 512..<target * 512 + 512])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: source_[source * 512..<source * 512 + 512]))
            }
        }
    }
}
