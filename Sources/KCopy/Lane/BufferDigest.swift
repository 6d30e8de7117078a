import BlockIO

/// A digest of a piece's data, so that what a destination returns can be compared with what was written when
/// the memory that held it is needed for reading it back: with a budget of one page there is no other.
///
/// A polynomial over the prime 2^61 - 1 in a variable that is drawn when the process starts, for each of four
/// interleaved streams of 32-bit words. Two pieces that differ agree with a probability of at most the number of words
/// of a stream over 2^60, below 2^-44 for 512 KiB, whatever they hold.
struct BufferDigest: Equatable {
    private static let prime: UInt64 = (1 << 61) - 1
    private static let key = UInt64.random(in: 1 << 32..<prime)

    private let a: UInt64
    private let b: UInt64
    private let c: UInt64
    private let d: UInt64

    /// The digest of `length` bytes, a multiple of 512.
    init(_ address: UnsafeRawPointer, _ length: Int) {
        let key = Self.key
        var (a, b, c, d): (UInt64, UInt64, UInt64, UInt64) = (1, 1, 1, 1)
        for offset in stride(from: 0, to: length, by: 32) {
            let words = address.loadUnaligned(fromByteOffset: offset, as: SIMD4<UInt64>.self)
            // A word is more than the field holds: its upper and lower half go in one after the other.
            a = Self.step(Self.step(a, key, words[0] >> 32), key, words[0] & 0xffff_ffff)
            b = Self.step(Self.step(b, key, words[1] >> 32), key, words[1] & 0xffff_ffff)
            c = Self.step(Self.step(c, key, words[2] >> 32), key, words[2] & 0xffff_ffff)
            d = Self.step(Self.step(d, key, words[3] >> 32), key, words[3] & 0xffff_ffff)
        }
        (self.a, self.b, self.c, self.d) = (a, b, c, d)
    }

    /// value * key + word modulo the prime.
    @inline(__always)
    private static func step(_ value: UInt64, _ key: UInt64, _ word: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: key)
        let sum = (product.low & prime) &+ (product.high << 3 | product.low >> 61) &+ word
        let folded = (sum & prime) &+ (sum >> 61)
        return folded >= prime ? folded &- prime : folded
    }
}
