import BlockIO

/// A digest of a piece's data, so that what a destination returns can be compared with what was written when
/// the memory that held it is needed for reading it back: with a budget of one page there is no other.
///
/// A sector is hashed with NH, the universal hash of UMAC and VMAC with words of 64 bits, under keys that are drawn when
/// the process starts: two sectors that differ, whatever they hold, agree with a probability of 2^-64. The hashes of the
/// sectors are the coefficients of a polynomial over the prime 2^61 - 1, which agrees for two pieces with a probability of
/// at most four times their number of sectors over 2^60, below 2^-47 for 512 KiB.
struct BufferDigest: Equatable {
    private static let words = Sector.size / 8
    private static let keys: [UInt64] = (0..<words).map { _ in .random(in: 0...UInt64.max) }
    private static let prime: UInt64 = (1 << 61) - 1
    private static let point = UInt64.random(in: 1 << 32..<prime)

    private var value: UInt64 = 1

    /// The digest of `length` bytes, a multiple of 512.
    init(_ address: UnsafeRawPointer, _ length: Int) {
        Self.keys.withUnsafeBufferPointer { keys in
            for sector in stride(from: 0, to: length, by: Sector.size) {
                let hash = Self.hash(address + sector, keys)
                // A word is more than the field holds: its halves go in one after the other.
                add(hash.high >> 32)
                add(hash.high & 0xffff_ffff)
                add(hash.low >> 32)
                add(hash.low & 0xffff_ffff)
            }
        }
    }

    /// NH: the sum of products of pairs of words, each with its key added, modulo 2^128.
    @inline(__always)
    private static func hash(_ sector: UnsafeRawPointer, _ keys: UnsafeBufferPointer<UInt64>) -> (
        high: UInt64, low: UInt64
    ) {
        var high: UInt64 = 0
        var low: UInt64 = 0
        for index in stride(from: 0, to: words, by: 2) {
            let a = sector.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self) &+ keys[index]
            let b = sector.loadUnaligned(fromByteOffset: index * 8 + 8, as: UInt64.self) &+ keys[index + 1]
            let product = a.multipliedFullWidth(by: b)
            let sum = low.addingReportingOverflow(product.low)
            low = sum.partialValue
            high = high &+ product.high &+ (sum.overflow ? 1 : 0)
        }
        return (high, low)
    }

    /// One more coefficient: value * point + word modulo the prime.
    private mutating func add(_ word: UInt64) {
        let product = value.multipliedFullWidth(by: Self.point)
        let sum = (product.low & Self.prime) &+ (product.high << 3 | product.low >> 61) &+ word
        let folded = (sum & Self.prime) &+ (sum >> 61)
        value = folded >= Self.prime ? folded &- Self.prime : folded
    }
}
