/// How runs are kept while they are dealt to buckets and sorted: a word of few bytes is a cheap one.
protocol RunCode: Sendable {
    associatedtype Word: BitwiseCopyable

    /// Runs go to the bucket that is their first old chunk divided by 2^`bucketShift`.
    var bucketShift: UInt64 { get }
    /// The longest run that a word can hold.
    var longest: UInt64 { get }
    /// The word of a run that is not longer than that.
    func word(_ run: ExceptionRun) -> Word
    /// The run of a word of a bucket.
    func run(_ word: Word, bucket: UInt64) -> ExceptionRun
    /// Whether, among the sorted words of a bucket, a run goes on where the one before it ends, or shares a chunk with
    /// it; it may also say so where that would take longer to find out.
    func haveNeighbours(_ words: UnsafePointer<Word>, _ count: Int) -> Bool
    /// What orders the words of one bucket by the old chunk.
    static func key(_ word: Word) -> UInt64
}

/// Buckets that runs are dealt to.
enum RunBucket {
    /// log2 of their number: the line of memory that each is written to fits into the smallest cache.
    static let bits: UInt64 = 9
    static let count = 1 << Int(bits)

    /// Bits that number the chunks below a limit.
    static func chunkBits(_ limit: UInt64) -> UInt64 {
        UInt64(UInt64.bitWidth - (max(limit, 1) - 1).leadingZeroBitCount)
    }
    /// What is left of an old chunk's bits inside of a bucket.
    static func shift(_ oldBits: UInt64) -> UInt64 { oldBits > bits ? oldBits - bits : 0 }
}

/// Any run, in 16 bytes.
struct WideCode: RunCode {
    let bucketShift: UInt64
    let longest = ExceptionRun.longest

    /// A code for old chunks below `oldLimit`.
    init(oldLimit: UInt64) { bucketShift = RunBucket.shift(RunBucket.chunkBits(oldLimit)) }

    @inline(__always)
    func word(_ run: ExceptionRun) -> PackedRun { PackedRun(run) }
    @inline(__always)
    func run(_ word: PackedRun, bucket: UInt64) -> ExceptionRun { word.run }

    func haveNeighbours(_ words: UnsafePointer<PackedRun>, _ count: Int) -> Bool {
        (1..<max(count, 1)).contains { index in
            let (before, run) = (words[index - 1].run, words[index].run)
            return run.old < before.oldEnd || before.continues(with: run)
        }
    }

    @inline(__always)
    static func key(_ word: PackedRun) -> UInt64 { word.key }
}

/// Runs in 8 bytes: from the highest bit on the old chunk without the bits that the bucket stands for, the new chunk,
/// and the length less one in the bits that are left.
struct NarrowCode: RunCode {
    /// Fewer bits for the length would make too many runs of a long one.
    private static let fewestLengthBits: UInt64 = 4

    let bucketShift: UInt64
    let longest: UInt64
    private let lengthBits: UInt64
    private let oldShift: UInt64
    private let oldMask: UInt64
    private let newMask: UInt64

    /// A code for chunks below these limits; nil where their bits do not fit.
    init?(oldLimit: UInt64, newLimit: UInt64) {
        let newBits = RunBucket.chunkBits(newLimit)
        bucketShift = RunBucket.shift(RunBucket.chunkBits(oldLimit))
        guard newBits + bucketShift + Self.fewestLengthBits <= UInt64.bitWidth else { return nil }
        lengthBits = min(
            UInt64(UInt64.bitWidth) - newBits - bucketShift, UInt64(ExceptionRun.longest.trailingZeroBitCount))
        longest = 1 << lengthBits
        oldShift = newBits + lengthBits
        oldMask = 1 << bucketShift - 1
        newMask = 1 << newBits - 1
    }

    @inline(__always)
    func word(_ run: ExceptionRun) -> UInt64 {
        (run.old & oldMask) &<< oldShift | run.new &<< lengthBits | (run.length &- 1)
    }

    @inline(__always)
    func run(_ word: UInt64, bucket: UInt64) -> ExceptionRun {
        ExceptionRun(
            old: bucket &<< bucketShift | (bucketShift == 0 ? 0 : word &>> oldShift),
            new: word &>> lengthBits & newMask,
            length: (word & (longest &- 1)) &+ 1)
    }

    /// Looks only where all runs have one chunk, and takes no branch on any of them.
    func haveNeighbours(_ words: UnsafePointer<UInt64>, _ count: Int) -> Bool {
        guard bucketShift > 0, count > 0 else { return true }
        // What the next chunk on both sides adds to a word.
        let step = 1 &<< oldShift | 1 &<< lengthBits as UInt64
        var found: UInt64 = 0
        var all: UInt64 = words[0]
        for index in 1..<count {
            let (before, word) = (words[index &- 1], words[index])
            found |= word &- before == step ? 1 : 0
            found |= (word ^ before) &>> oldShift == 0 ? 1 : 0
            all |= word
        }
        return found != 0 || all & (longest &- 1) != 0
    }

    @inline(__always)
    static func key(_ word: UInt64) -> UInt64 { word }
}
