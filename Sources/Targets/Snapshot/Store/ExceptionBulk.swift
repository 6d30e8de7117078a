/// Makes an `ExceptionTable` of whole areas, and checks every exception on the way.
///
/// It says only whether all of them are good: naming a bad one takes a second look at the areas (`StoreScan`), which a
/// good store is spared.
struct ExceptionBulk: ~Copyable {
    private let storeChunks: UInt64
    private let oldLimit: UInt64
    private let areas: DivisibilityTest
    private let arena = RunArena()
    private let olds: RunSorter
    private let taken: ChunkSet
    /// In place of `taken` where the store is too large for a bit per chunk.
    private let news: RunSorter?
    private let usesBits: Bool
    /// The highest new chunk, 0 while there is none.
    private(set) var highestNew: UInt64 = 0
    private var isBad = false

    /// - Parameters:
    ///   - storeChunks: whole chunks of the store: the limit of new chunks.
    ///   - originChunks: the limit of old chunks; nil where the origin is unknown.
    init(geometry: StoreGeometry, storeChunks: UInt64, originChunks: UInt64?, bitLimit: UInt64 = ChunkSet.limit) {
        self.storeChunks = min(storeChunks, StoreGeometry.chunkLimit)
        oldLimit = min(originChunks ?? .max, StoreGeometry.chunkLimit)
        areas = DivisibilityTest(by: geometry.areaStride)
        olds = RunSorter(arena: arena, bits: Self.keyBits(oldLimit))
        if storeChunks <= bitLimit, let set = ChunkSet(chunks: storeChunks) {
            taken = set
            news = nil
            usesBits = true
        } else {
            guard let none = ChunkSet(chunks: 0) else { preconditionFailure("no memory for a word") }
            taken = none
            news = RunSorter(arena: arena, bits: Self.keyBits(self.storeChunks))
            usesBits = false
        }
    }

    /// Bits of the packed key of the largest chunk below a limit.
    private static func keyBits(_ limit: UInt64) -> Int {
        UInt64.bitWidth - (max(limit, 1) - 1).leadingZeroBitCount + Int(PackedRun.keyBits)
    }

    /// Takes the entries of an area, or of a piece of one, up to the first that ends the list.
    /// - Returns: how many there were; fewer than fit only where the list has ended.
    mutating func append(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        let slots = bytes.count / ExceptionEntry.size
        var run = ExceptionRun(old: 0, new: 0, length: 0)
        var highest = highestNew
        var bad = false
        var slot = 0
        while slot < slots {
            let entry = base + slot &* ExceptionEntry.size
            let old = UInt64(littleEndian: entry.loadUnaligned(as: UInt64.self))
            let new = UInt64(littleEndian: entry.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            if new == 0 { break }
            slot &+= 1
            if old >= oldLimit || new >= storeChunks || areas.divides(new &- 1) {
                bad = true
                continue
            }
            if usesBits, taken.insert(new) { bad = true }
            highest = max(highest, new)
            if run.continues(with: ExceptionRun(old: old, new: new)), run.length &- 1 < ExceptionRun.longest &- 1 {
                run.length &+= 1
            } else {
                if run.length > 0 { add(run) }
                run = ExceptionRun(old: old, new: new)
            }
        }
        if run.length > 0 { add(run) }
        highestNew = highest
        isBad = isBad || bad
        return slot
    }

    @inline(__always)
    private func add(_ run: ExceptionRun) {
        olds.add(PackedRun(run))
        if !usesBits { news?.add(PackedRun(ExceptionRun(old: run.new, new: run.old, length: run.length))) }
    }

    /// The table of all that was taken; nil where an exception breaks a rule.
    mutating func build() -> ExceptionTable? {
        if isBad { return nil }
        if !usesBits {
            var finder = OverlapFinder()
            news?.drain(into: &finder)
            if finder.found { return nil }
        }
        var builder = TableBuilder()
        olds.drain(into: &builder)
        return builder.hasDuplicates ? nil : builder.build()
    }
}

/// Finds out whether two runs share a chunk.
private struct OverlapFinder: RunSink {
    private var end: UInt64 = 0
    private(set) var found = false

    mutating func take(_ packed: PackedRun) {
        let run = packed.run
        found = found || run.old < end
        end = max(end, run.oldEnd)
    }
}

/// Whether numbers are multiples of an odd one, by one multiplication: n is a multiple of d where n times the inverse
/// of d modulo 2^64 is at most (2^64 - 1) / d.
struct DivisibilityTest {
    private let inverse: UInt64
    private let most: UInt64

    /// A test for multiples of an odd number.
    init(by divisor: UInt64) {
        precondition(divisor & 1 == 1, "\(divisor) has no inverse")
        var inverse = divisor  // right in three bits; each step doubles them
        for _ in 0..<5 { inverse = inverse &* (2 &- divisor &* inverse) }
        self.inverse = inverse
        most = UInt64.max / divisor
    }

    /// Whether a number is a multiple.
    @inline(__always)
    func divides(_ number: UInt64) -> Bool { number &* inverse <= most }
}
