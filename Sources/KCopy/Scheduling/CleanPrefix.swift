import BlockIO

/// Up to where a job is without a gap, though its pieces end in any order: where to go on after a stop.
struct CleanPrefix {
    /// Everything before this sector was done without an error.
    private(set) var end: UInt64 = 0
    /// Done ranges behind a gap, in order. As long as the pieces under way are: what lies behind an error can never
    /// join and is not kept.
    private var ahead: [SectorRange] = []
    private var brokenAt: UInt64 = .max

    /// A range was done.
    mutating func done(_ range: SectorRange) {
        guard range.start < brokenAt else { return }
        guard range.start == end else {
            let index = ahead.firstIndex { $0.start > range.start } ?? ahead.endIndex
            return ahead.insert(range, at: index)
        }
        end = range.end
        while let next = ahead.first, next.start == end {
            end = next.end
            ahead.removeFirst()
        }
    }

    /// A range was not done.
    mutating func broken(_ range: SectorRange) {
        brokenAt = min(brokenAt, range.start)
        ahead.removeAll { $0.start > brokenAt }
    }
}
