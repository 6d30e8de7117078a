/// Runs, dealt to buckets by their old chunk as they come: what one thread has taken. Each bucket is a chain of blocks.
final class RunBuckets<Code: RunCode> {
    /// A block begins with the end of the block before it in its bucket.
    private static var blockHeader: Int { 16 }

    fileprivate typealias Cursor = UnsafeMutableRawPointer?

    private let code: Code
    private let arena = RunArena()
    /// Where the next run of each bucket goes. At the end of a block, or nil: into a new one.
    private let cursors: UnsafeMutablePointer<Cursor>

    init(_ code: Code) {
        self.code = code
        cursors = .allocate(capacity: RunBucket.count)
        cursors.initialize(repeating: nil, count: RunBucket.count)
    }

    deinit { cursors.deallocate() }

    /// What takes runs. It holds everything that a loop needs in values of its own, which can stay in registers.
    var dealer: RunDealer<Code> { RunDealer(buckets: self, code: code, cursors: cursors) }

    /// A run that does not fit into a word: as several, each in the bucket that it begins in.
    @inline(never)
    fileprivate func addPieces(_ run: ExceptionRun) {
        let dealer = dealer
        var done: UInt64 = 0
        while done < run.length {
            let length = min(run.length - done, code.longest)
            dealer.put(ExceptionRun(old: run.old + done, new: run.new + done, length: length))
            done += length
        }
    }

    /// Where the first block of a bucket is filled from. Buckets fill at about the same speed: were they all filled
    /// from the same offset, what is written to at a time would compete for a few sets of the caches.
    @inline(__always)
    private static func firstOffset(_ bucket: Int) -> Int { blockHeader + bucket % 61 * 64 }

    @inline(never)
    fileprivate func begin(_ bucket: Int) -> Cursor {
        let cursor = cursors[bucket]
        let block = arena.take()
        block.storeBytes(of: cursor, as: Cursor.self)
        return block + (cursor == nil ? Self.firstOffset(bucket) : Self.blockHeader)
    }

    /// Calls a body with each stretch of words of a bucket.
    @inline(__always)
    private func forEachBlock(_ bucket: Int, _ body: (UnsafeRawBufferPointer) -> Void) {
        var cursor = cursors[bucket]
        while let end = cursor {
            let block = end - ((Int(bitPattern: end) &- 1) & (RunArena.blockBytes - 1) + 1)
            cursor = block.load(as: Cursor.self)
            let first = block + (cursor == nil ? Self.firstOffset(bucket) : Self.blockHeader)
            body(UnsafeRawBufferPointer(start: first, count: end - first))
        }
    }

    /// How many words a bucket has.
    func count(_ bucket: Int) -> Int {
        var bytes = 0
        forEachBlock(bucket) { bytes += $0.count }
        return bytes / MemoryLayout<Code.Word>.stride
    }

    /// Copies the words of a bucket, in any order; answers how many there were.
    func copy(_ bucket: Int, to memory: UnsafeMutablePointer<Code.Word>) -> Int {
        let raw = UnsafeMutableRawPointer(memory)
        var bytes = 0
        forEachBlock(bucket) { block in
            if let base = block.baseAddress { (raw + bytes).copyMemory(from: base, byteCount: block.count) }
            bytes += block.count
        }
        return bytes / MemoryLayout<Code.Word>.stride
    }
}

/// Deals runs to buckets, which must outlive it.
struct RunDealer<Code: RunCode> {
    private unowned(unsafe) let buckets: RunBuckets<Code>
    private let code: Code
    private let longest: UInt64
    private let cursors: UnsafeMutablePointer<RunBuckets<Code>.Cursor>

    fileprivate init(
        buckets: RunBuckets<Code>, code: Code, cursors: UnsafeMutablePointer<RunBuckets<Code>.Cursor>
    ) {
        self.buckets = buckets
        self.code = code
        self.cursors = cursors
        longest = code.longest
    }

    /// Takes a run.
    @inline(__always)
    func add(_ run: ExceptionRun) {
        if run.length <= longest { put(run) } else { buckets.addPieces(run) }
    }

    /// Takes a run that is not longer than a word can say.
    @inline(__always)
    func put(_ run: ExceptionRun) {
        let bucket = Int(truncatingIfNeeded: run.old &>> code.bucketShift)
        var cursor = cursors[bucket]
        if Int(bitPattern: cursor) & (RunArena.blockBytes - 1) == 0 { cursor = buckets.begin(bucket) }
        cursor.unsafelyUnwrapped.storeBytes(of: code.word(run), as: Code.Word.self)
        cursors[bucket] = cursor.unsafelyUnwrapped + MemoryLayout<Code.Word>.stride
    }
}
