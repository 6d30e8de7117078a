/// Whoever takes runs in ascending order of their keys.
protocol RunSink: ~Copyable {
    mutating func take(_ run: PackedRun)
}

/// Sorts many packed runs by their keys: they are dealt to 2048 buckets as they come, and each bucket, which then fits
/// into a cache, is sorted when all are there. A bucket that is too large for that is dealt again, by the range of keys
/// that it really has.
struct RunSorter: ~Copyable {
    private static let bucketBits = 11
    /// Runs that are sorted in one go: 128 KiB.
    private static let sortedAtOnce = 8192
    /// Runs with nearly the same key that are left to the pass that puts neighbours in order.
    private static let crowd = 32
    /// A block begins with the end of the block before it in its bucket.
    private static let blockHeader = MemoryLayout<PackedRun>.stride

    typealias Cursor = UnsafeMutableRawPointer?

    private let arena: RunArena
    private let low: UInt64
    private let shift: UInt64
    /// Where the next run of each bucket goes. At the end of a block, or nil: into a new one.
    private let cursors: UnsafeMutablePointer<Cursor>

    /// A sorter for keys from `low` on that differ from it in `bits` bits at most, 0...64.
    init(arena: RunArena, low: UInt64 = 0, bits: Int) {
        self.arena = arena
        self.low = low
        shift = UInt64(max(bits - Self.bucketBits, 0))
        cursors = .allocate(capacity: 1 << Self.bucketBits)
        cursors.initialize(repeating: nil, count: 1 << Self.bucketBits)
    }

    deinit { cursors.deallocate() }

    /// Takes a run.
    @inline(__always)
    func add(_ run: PackedRun) {
        let bucket = Int(truncatingIfNeeded: (run.key &- low) &>> shift)
        var cursor = cursors[bucket]
        if Self.isBlockEnd(cursor) { cursor = begin(after: cursor) }
        cursor.unsafelyUnwrapped.storeBytes(of: run, as: PackedRun.self)
        cursors[bucket] = cursor.unsafelyUnwrapped + MemoryLayout<PackedRun>.stride
    }

    @inline(__always)
    private static func isBlockEnd(_ cursor: Cursor) -> Bool {
        Int(bitPattern: cursor) & (RunArena.blockBytes - 1) == 0
    }

    @inline(never)
    private func begin(after cursor: Cursor) -> Cursor {
        let block = arena.take()
        block.storeBytes(of: cursor, as: Cursor.self)
        return block + Self.blockHeader
    }

    // MARK: Sorting

    /// Hands every run over, in ascending order, and forgets them.
    func drain(into sink: inout some RunSink & ~Copyable) {
        let scratch = UnsafeMutablePointer<PackedRun>.allocate(capacity: Self.sortedAtOnce)
        let places = UnsafeMutablePointer<UInt32>.allocate(capacity: Self.sortedAtOnce + 1)
        defer {
            scratch.deallocate()
            places.deallocate()
        }
        for bucket in 0..<1 << Self.bucketBits {
            guard let cursor = cursors[bucket] else { continue }
            cursors[bucket] = nil
            let count = Self.count(cursor)
            if count > Self.sortedAtOnce {
                dealAgain(cursor, into: &sink)
            } else {
                sort(cursor, count, bucket, scratch, places)
                for index in 0..<count { sink.take(scratch[index]) }
                release(cursor)
            }
        }
    }

    /// Puts the runs of a bucket into `scratch` in order: dealt to as many places as there are runs, then neighbours
    /// exchanged.
    private func sort(
        _ cursor: Cursor, _ count: Int, _ bucket: Int, _ scratch: UnsafeMutablePointer<PackedRun>,
        _ places: UnsafeMutablePointer<UInt32>
    ) {
        let base = low &+ UInt64(bucket) << shift
        let placeBits = UInt64(min(Int.bitWidth - (count - 1).leadingZeroBitCount, 13))
        let placeShift = shift > placeBits ? shift - placeBits : 0
        let last = 1 << Int(placeBits)
        places.update(repeating: 0, count: last)
        Self.forEach(cursor) { places[Int(truncatingIfNeeded: ($0.key &- base) &>> placeShift)] &+= 1 }
        var sum: UInt32 = 0
        var isCrowded = false
        for place in 0..<last {
            let here = places[place]
            isCrowded = isCrowded || here > UInt32(Self.crowd)
            places[place] = sum
            sum &+= here
        }
        Self.forEach(cursor) { run in
            let place = Int(truncatingIfNeeded: (run.key &- base) &>> placeShift)
            scratch[Int(places[place])] = run
            places[place] &+= 1
        }
        if isCrowded {
            var runs = UnsafeMutableBufferPointer(start: scratch, count: count)
            runs.sort { $0.key < $1.key }
        } else {
            Self.settle(scratch, count)
        }
    }

    /// Insertion sort, for runs that are nearly in order.
    private static func settle(_ runs: UnsafeMutablePointer<PackedRun>, _ count: Int) {
        var index = 1
        while index < count {
            let run = runs[index]
            var place = index
            while place > 0, runs[place &- 1].key > run.key {
                runs[place] = runs[place &- 1]
                place &-= 1
            }
            if place != index { runs[place] = run }
            index &+= 1
        }
    }

    /// Sorts a large bucket with a sorter of its own, for the range between its lowest and highest key.
    private func dealAgain(_ cursor: Cursor, into sink: inout some RunSink & ~Copyable) {
        var lowest = UInt64.max
        var highest: UInt64 = 0
        Self.forEach(cursor) { run in
            lowest = min(lowest, run.key)
            highest = max(highest, run.key)
        }
        guard lowest < highest else {
            // All the same: in order as they are.
            Self.forEach(cursor) { sink.take($0) }
            return release(cursor)
        }
        let bits = UInt64.bitWidth - (highest - lowest).leadingZeroBitCount
        let sorter = RunSorter(arena: arena, low: lowest, bits: bits)
        var rest: Cursor = cursor
        while let end = rest {
            let block = Self.block(before: end)
            rest = block.load(as: Cursor.self)
            var place = block + Self.blockHeader
            while place < end {
                sorter.add(place.load(as: PackedRun.self))
                place += MemoryLayout<PackedRun>.stride
            }
            arena.give(block)
        }
        sorter.drain(into: &sink)
    }

    // MARK: Blocks of a bucket

    private static func block(before end: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        let offset = (Int(bitPattern: end) &- 1) & (RunArena.blockBytes - 1)
        return end - (offset + 1)
    }

    @inline(__always)
    private static func forEach(_ cursor: Cursor, _ body: (PackedRun) -> Void) {
        var rest = cursor
        while let end = rest {
            let block = block(before: end)
            var place = block + blockHeader
            while place < end {
                body(place.load(as: PackedRun.self))
                place += MemoryLayout<PackedRun>.stride
            }
            rest = block.load(as: Cursor.self)
        }
    }

    private static func count(_ cursor: Cursor) -> Int {
        var total = 0
        var rest = cursor
        while let end = rest {
            let block = block(before: end)
            total += (end - block - blockHeader) / MemoryLayout<PackedRun>.stride
            rest = block.load(as: Cursor.self)
        }
        return total
    }

    private func release(_ cursor: Cursor) {
        var rest = cursor
        while let end = rest {
            let block = Self.block(before: end)
            rest = block.load(as: Cursor.self)
            arena.give(block)
        }
    }
}
