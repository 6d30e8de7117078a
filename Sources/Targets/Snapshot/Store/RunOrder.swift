/// Sorts the words of runs: they are dealt to about as many places as there are words, by the range of keys that they
/// really have, and then neighbours are put in order. A place that got many is sorted by itself first, in the same way.
enum RunOrder<Code: RunCode> {
    typealias Words = UnsafeMutablePointer<Code.Word>

    /// Places that words are dealt to at most: counters for them and the words fit into a cache.
    private static var mostPlaceBits: Int { 13 }
    /// Words that are left to the exchange of neighbours.
    private static var few: Int { 24 }

    /// Sorts `count` words; `spare` has room for as many.
    static func sort(_ words: Words, _ count: Int, spare: Words) {
        if count <= few { return settle(words, count, into: words) }
        var lowest = UInt64.max
        var highest: UInt64 = 0
        for index in 0..<count {
            let key = Code.key(words[index])
            lowest = min(lowest, key)
            highest = max(highest, key)
        }
        guard lowest < highest else { return }
        let bits = UInt64.bitWidth - (highest - lowest).leadingZeroBitCount
        // The more places, the fewer words meet in one.
        let placeBits = min(Int.bitWidth - (count - 1).leadingZeroBitCount + 1, mostPlaceBits, bits)
        deal(words, count, spare, lowest: lowest, shift: UInt64(bits - placeBits), places: 1 << placeBits)
    }

    private static func deal(
        _ words: Words, _ count: Int, _ spare: Words, lowest: UInt64, shift: UInt64, places: Int
    ) {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: places) { buffer in
            guard let ends = buffer.baseAddress else { return }
            ends.initialize(repeating: 0, count: places)
            for index in 0..<count { ends[place(words[index], lowest, shift)] &+= 1 }
            var sum: UInt32 = 0
            var isCrowded = false
            for place in 0..<places {
                let here = ends[place]
                isCrowded = isCrowded || here > UInt32(few)
                ends[place] = sum
                sum &+= here
            }
            for index in 0..<count {
                let word = words[index]
                let place = place(word, lowest, shift)
                spare[Int(ends[place])] = word
                ends[place] &+= 1
            }
            if isCrowded, shift > 0 {
                var start = 0
                for place in 0..<places {
                    let end = Int(ends[place])
                    if end - start > few { sort(spare + start, end - start, spare: words + start) }
                    start = end
                }
            }
        }
        settle(spare, count, into: words)
    }

    @inline(__always)
    private static func place(_ word: Code.Word, _ lowest: UInt64, _ shift: UInt64) -> Int {
        Int(truncatingIfNeeded: (Code.key(word) &- lowest) &>> shift)
    }

    /// Puts words in order that nearly are. Most are after each has been exchanged with its neighbour where it had to,
    /// which takes no branch; insertion does the rest.
    private static func settle(_ words: Words, _ count: Int, into sorted: Words) {
        guard count > 0 else { return }
        var largest = words[0]
        for index in 1..<count {
            let word = words[index]
            let isBelow = Code.key(word) < Code.key(largest)
            sorted[index &- 1] = isBelow ? word : largest
            largest = isBelow ? largest : word
        }
        sorted[count - 1] = largest
        for index in 1..<count {
            let word = sorted[index]
            var place = index
            while place > 0, Code.key(sorted[place &- 1]) > Code.key(word) {
                sorted[place] = sorted[place &- 1]
                place &-= 1
            }
            if place != index { sorted[place] = word }
        }
    }
}
