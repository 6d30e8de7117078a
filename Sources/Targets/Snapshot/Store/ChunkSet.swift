import Glibc

/// Which chunks of a store are taken, a bit for each: finds chunks that two exceptions name. Memory is used only where
/// bits are set.
struct ChunkSet: ~Copyable {
    /// The largest store that a set is made for: 512 MiB of address space.
    static let limit: UInt64 = 1 << 32

    private let words: UnsafeMutablePointer<UInt64>

    /// An empty set of chunks below `chunks`; nil for more than `limit`, and without memory.
    init?(chunks: UInt64) {
        guard chunks <= Self.limit, let memory = calloc(Int(chunks / 64 + 1), MemoryLayout<UInt64>.size) else {
            return nil
        }
        words = memory.bindMemory(to: UInt64.self, capacity: Int(chunks / 64 + 1))
    }

    deinit { free(words) }

    /// Adds a chunk; whether it was there before.
    @inline(__always)
    func insert(_ chunk: UInt64) -> Bool {
        let word = Int(truncatingIfNeeded: chunk >> 6)
        let bit: UInt64 = 1 << (chunk & 63)
        let before = words[word]
        words[word] = before | bit
        return before & bit != 0
    }
}
