/// What every exception of a store has to keep to, and what one lane has seen.
struct EntryCheck {
    private let storeChunks: UInt64
    private let oldLimit: UInt64
    private let areas: DivisibilityTest
    private let usesBits: Bool
    /// The highest new chunk, 0 while there is none.
    private(set) var highestNew: UInt64 = 0
    /// Whether an exception has broken a rule.
    private(set) var isBad = false

    /// A check of chunks below these limits; with `usesBits` also for new chunks that come twice.
    init(geometry: StoreGeometry, storeChunks: UInt64, oldLimit: UInt64, usesBits: Bool) {
        self.storeChunks = storeChunks
        self.oldLimit = oldLimit
        areas = DivisibilityTest(by: geometry.areaStride)
        self.usesBits = usesBits
    }

    /// Looks at entries that are all in use; nil where one of them, or one before, is bad.
    mutating func take(_ bytes: UnsafeRawBufferPointer, _ taken: ChunkSet) -> EntryDigest? {
        let digest = EntryDigest(bytes, areas)
        guard digest.highestOld < oldLimit, digest.highestNew < storeChunks, !digest.namesArea else {
            isBad = true
            noteHighestGood(bytes)
            return nil
        }
        highestNew = max(highestNew, digest.highestNew)
        if usesBits, !mark(bytes, digest, taken) { isBad = true }
        return isBad ? nil : digest
    }

    /// Notes the chunks that entries take; whether none of them was taken before.
    private func mark(_ bytes: UnsafeRawBufferPointer, _ digest: EntryDigest, _ taken: ChunkSet) -> Bool {
        if digest.newAscends { return taken.insert(digest.firstNew...digest.highestNew) }
        var adder = ChunkSet.Adder()
        ExceptionEntry.forEach(in: bytes) { _, new in adder.add(new, to: taken) }
        adder.flush(to: taken)
        return !adder.foundTwice
    }

    /// Of entries some of which are bad, the good ones count.
    private mutating func noteHighestGood(_ bytes: UnsafeRawBufferPointer) {
        ExceptionEntry.forEach(in: bytes) { old, new in
            let isGood = old < oldLimit && new < storeChunks && !areas.divides(new &- 1)
            if isGood { highestNew = max(highestNew, new) }
        }
    }
}

/// What there is to know of entries before they are dealt. There is no branch on an entry in finding it out.
struct EntryDigest {
    let firstNew: UInt64
    let highestOld: UInt64
    let highestNew: UInt64
    /// Whether a new chunk is one that holds exceptions.
    let namesArea: Bool
    /// Whether every new chunk is the one behind the entry's before.
    let newAscends: Bool
    /// Whether an entry goes on where the one before it ends, on both sides.
    let hasRuns: Bool

    /// The digest of one entry or more.
    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer, _ areas: DivisibilityTest) {
        let first = ExceptionEntry(decoding: bytes, slot: 0)
        firstNew = first.new
        var (highestOld, highestNew): (UInt64, UInt64) = (0, 0)
        var areaEntries: UInt64 = 0
        var runs: UInt64 = 0
        var jumps: UInt64 = 0
        var (nextOld, nextNew) = (first.old &+ 1, first.new)
        ExceptionEntry.forEach(in: bytes) { old, new in
            highestOld = max(highestOld, old)
            highestNew = max(highestNew, new)
            areaEntries |= areas.divides(new &- 1) ? 1 : 0
            let jump = new ^ nextNew
            jumps |= jump
            runs |= jump | (old ^ nextOld) == 0 ? 1 : 0
            (nextOld, nextNew) = (old &+ 1, new &+ 1)
        }
        self.highestOld = highestOld
        self.highestNew = highestNew
        namesArea = areaEntries != 0
        newAscends = jumps == 0
        hasRuns = runs != 0
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
