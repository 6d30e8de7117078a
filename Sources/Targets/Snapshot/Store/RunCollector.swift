/// Collects runs on several lanes, and makes leaves of them: in narrow words where the chunks' numbers fit.
enum RunCollector {
    case narrow(CodedRuns<NarrowCode>)
    case wide(CodedRuns<WideCode>)

    /// A collector of runs whose chunks are below these limits.
    init(oldLimit: UInt64, newLimit: UInt64, lanes: Int) {
        if let code = NarrowCode(oldLimit: oldLimit, newLimit: newLimit) {
            self = .narrow(CodedRuns(code, lanes: lanes))
        } else {
            self = .wide(CodedRuns(WideCode(oldLimit: oldLimit), lanes: lanes))
        }
    }

    /// Takes the runs of entries, which are all in use and good. `hasRuns`: some of them are longer than 1. `isReversed`:
    /// new chunks in place of the old ones.
    func append(_ bytes: UnsafeRawBufferPointer, lane: Int, hasRuns: Bool, isReversed: Bool = false) {
        switch self {
        case .narrow(let runs): runs.append(bytes, lane, hasRuns, isReversed)
        case .wide(let runs): runs.append(bytes, lane, hasRuns, isReversed)
        }
    }

    /// The leaves of everything that was taken, in lists of ascending order. The last call.
    func build() -> [LeafList] {
        switch self {
        case .narrow(let runs): runs.build()
        case .wide(let runs): runs.build()
        }
    }
}

/// A collector that keeps runs in words of one code. Everything of a lane belongs to whatever thread is in it.
final class CodedRuns<Code: RunCode> {
    /// Runs that are worth several threads.
    private static var many: Int { 1 << 18 }

    private let code: Code
    private let lanes: [RunBuckets<Code>]

    init(_ code: Code, lanes: Int) {
        self.code = code
        self.lanes = (0..<lanes).map { _ in RunBuckets(code) }
    }

    func append(_ bytes: UnsafeRawBufferPointer, _ lane: Int, _ hasRuns: Bool, _ isReversed: Bool) {
        let dealer = lanes[lane].dealer
        if isReversed {
            ExceptionRun.forEach(in: bytes) { run in
                dealer.add(ExceptionRun(old: run.new, new: run.old, length: run.length))
            }
        } else if hasRuns {
            ExceptionRun.forEach(in: bytes) { dealer.add($0) }
        } else {
            ExceptionEntry.forEach(in: bytes) { old, new in dealer.put(ExceptionRun(old: old, new: new)) }
        }
    }

    // MARK: Sorting

    func build() -> [LeafList] {
        let counts = (0..<RunBucket.count).map { bucket in lanes.reduce(0) { $0 + $1.count(bucket) } }
        // Few runs make one list; of many, each bucket makes one of its own.
        let total = counts.reduce(0, +)
        guard total > 0 else { return [] }
        let largest = counts.max() ?? 0
        if total < Self.many {
            let scratch = SortScratch<Code>(capacity: largest)
            return [list(0..<RunBucket.count, counts, scratch)]
        }
        let lists = UnsafeMutablePointer<LeafList>.allocate(capacity: RunBucket.count)
        lists.initialize(repeating: LeafList(), count: RunBucket.count)
        defer {
            lists.deinitialize(count: RunBucket.count)
            lists.deallocate()
        }
        let scratches = lanes.map { _ in SortScratch<Code>(capacity: largest) }
        Lanes.perform(RunBucket.count, lanes: lanes.count) { bucket, lane in
            if counts[bucket] > 0 { lists[bucket] = list(bucket..<bucket + 1, counts, scratches[lane]) }
        }
        return (0..<RunBucket.count).map { lists[$0] }
    }

    /// The leaves of some buckets.
    private func list(_ range: Range<Int>, _ counts: [Int], _ scratch: SortScratch<Code>) -> LeafList {
        var builder = LeafBuilder()
        let code = code
        let words = scratch.words
        for bucket in range where counts[bucket] > 0 {
            var count = 0
            for lane in lanes { count += lane.copy(bucket, to: words + count) }
            RunOrder<Code>.sort(words, count, spare: scratch.spare)
            builder.take(words, count, code, bucket: UInt64(bucket))
        }
        return builder.finish()
    }
}

/// Room for the words of a bucket, twice.
private final class SortScratch<Code: RunCode> {
    let words: UnsafeMutablePointer<Code.Word>
    let spare: UnsafeMutablePointer<Code.Word>

    init(capacity: Int) {
        words = .allocate(capacity: 2 * capacity)
        spare = words + capacity
    }

    deinit { words.deallocate() }
}
