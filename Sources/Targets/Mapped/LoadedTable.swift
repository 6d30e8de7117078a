public import BlockIO
import SystemPackage

/// A table whose targets have been made: what a mapped device is loaded with. Belongs to a queue thread.
public final class LoadedTable {
    /// A line of it.
    public struct Segment {
        /// The sectors of the mapped device.
        public let range: SectorRange
        /// The target that serves them.
        public let target: any Target

        /// A line.
        public init(range: SectorRange, target: any Target) {
            self.range = range
            self.target = target
        }
    }

    /// Its lines, in the order of their sectors.
    public let segments: [Segment]
    /// Size in sectors.
    public let sectors: UInt64
    /// Whether it was loaded for reading only.
    public let isReadOnly: Bool

    /// A table of some targets.
    /// - Throws: EINVAL for a gap, and for a target that can only be alone and is not; the targets are still the caller's.
    public init(_ segments: [Segment], isReadOnly: Bool = false) throws(TargetError) {
        var end: UInt64 = 0
        for (index, segment) in segments.enumerated() {
            let object = "table line \(index + 1)"
            guard segment.range.start == end, segment.range.count > 0 else {
                throw TargetError(
                    object, "load", .invalidArgument,
                    "it begins at sector \(segment.range.start), and the line before ends before sector \(end)")
            }
            guard !segment.target.abilities.isAlone || segments.count == 1 else {
                throw TargetError(
                    object, "load", .invalidArgument,
                    "\(segment.target.typeName) can only be the one line of its table, and there are \(segments.count)")
            }
            end = segment.range.end
        }
        guard end > 0 else { throw TargetError("table", "load", .invalidArgument, "it has no lines") }
        self.segments = segments
        self.isReadOnly = isReadOnly
        sectors = end
    }

    /// The line that a sector belongs to, which lies inside the table.
    func segment(at sector: UInt64) -> Segment {
        if segments.count == 1 { return segments[0] }
        var low = 0
        var high = segments.count - 1
        while low < high {
            let middle = (low + high) / 2
            if segments[middle].range.end <= sector { low = middle + 1 } else { high = middle }
        }
        return segments[low]
    }

    /// Whether every target has an ability.
    func all(_ ability: (TargetAbilities) -> Bool) -> Bool { segments.allSatisfy { ability($0.target.abilities) } }
    /// Whether any target has an ability.
    func any(_ ability: (TargetAbilities) -> Bool) -> Bool { segments.contains { ability($0.target.abilities) } }
    /// The largest of what the targets say; block sizes are powers of two.
    func largest(_ size: (TargetAbilities) -> UInt64) -> UInt64 {
        segments.reduce(1) { max($0, size($1.target.abilities)) }
    }

    /// Ends all targets, with their devices; they are suspended, or have never been resumed.
    public func destroy(_ done: @escaping () -> Void) {
        let ended = Countdown(segments.count, done)
        for segment in segments {
            segment.target.onEvent = nil
            segment.target.destroy { ended.one() }
        }
    }
}

/// Calls back when a number of things have happened; at once where there are none.
final class Countdown {
    private var left: Int
    private let done: () -> Void

    init(_ count: Int, _ done: @escaping () -> Void) {
        left = count
        self.done = done
        if count == 0 { done() }
    }

    func one() {
        precondition(left > 0, "more ends than beginnings")
        left -= 1
        if left == 0 { done() }
    }
}
