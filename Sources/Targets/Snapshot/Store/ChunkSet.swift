import Glibc
import Synchronization

/// Which chunks of a store are taken, a bit for each: finds chunks that two exceptions name. Memory is used only where
/// bits are set. Several threads may add to it at the same time.
final class ChunkSet {
    /// The largest store that a set is made for: 512 MiB of address space.
    static let limit: UInt64 = 1 << 32

    private let words: UnsafeMutablePointer<Atomic<UInt64>>

    /// An empty set of chunks below `chunks`; nil for more than `limit`, and without memory.
    init?(chunks: UInt64) {
        guard chunks <= Self.limit, let memory = calloc(Int(chunks / 64 + 1), MemoryLayout<UInt64>.size) else {
            return nil
        }
        words = memory.bindMemory(to: Atomic<UInt64>.self, capacity: Int(chunks / 64 + 1))
    }

    deinit { free(words) }

    /// Adds chunks that follow each other; whether none of them was there before.
    func insert(_ chunks: ClosedRange<UInt64>) -> Bool {
        var found: UInt64 = 0
        var first = chunks.lowerBound
        while first <= chunks.upperBound {
            let last = min(first | 63, chunks.upperBound)
            let bits = (UInt64.max >> (63 - (last - first))) << (first & 63)
            found |= words[Int(first >> 6)].bitwiseOr(bits, ordering: .relaxed).oldValue & bits
            first = last + 1
        }
        return found == 0
    }

    /// The chunks that a thread adds, gathered a word at a time: those that follow each other cost next to nothing.
    struct Adder {
        private var word = 0
        private var bits: UInt64 = 0
        /// Whether a chunk was there before.
        private(set) var foundTwice = false

        /// Adds a chunk.
        @inline(__always)
        mutating func add(_ chunk: UInt64, to set: ChunkSet) {
            let next = Int(truncatingIfNeeded: chunk >> 6)
            if next != word {
                flush(to: set)
                word = next
            }
            let bit: UInt64 = 1 << (chunk & 63)
            if bits & bit != 0 { foundTwice = true }
            bits |= bit
        }

        /// Must be the last call: what was gathered goes into the set.
        @inline(__always)
        mutating func flush(to set: ChunkSet) {
            if set.words[word].bitwiseOr(bits, ordering: .relaxed).oldValue & bits != 0 { foundTwice = true }
            bits = 0
        }
    }
}
