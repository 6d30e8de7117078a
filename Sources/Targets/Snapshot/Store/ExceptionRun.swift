/// Exceptions whose chunks follow each other on both sides: `old + i` is at `new + i`.
struct ExceptionRun: Hashable, Sendable {
    /// The most that one run of a table holds; a longer one is kept as several.
    static let longest: UInt64 = 1 << 15

    /// The first chunk on the origin, below 2^56.
    var old: UInt64
    /// The first chunk in the store, below 2^56.
    var new: UInt64
    /// How many chunks, 1 or more.
    var length: UInt64 = 1

    /// The origin's chunk behind the run.
    var oldEnd: UInt64 { old &+ length }

    /// Whether another run goes on where this one ends, on both sides.
    func continues(with next: ExceptionRun) -> Bool {
        next.old == old &+ length && next.new == new &+ length
    }
}

extension ExceptionRun {
    /// Calls a body with the runs that entries make, which are all in use and good.
    @inline(__always)
    static func forEach(in bytes: UnsafeRawBufferPointer, _ body: (ExceptionRun) -> Void) {
        var run = ExceptionRun(old: 0, new: 0, length: 0)
        ExceptionEntry.forEach(in: bytes) { old, new in
            if run.continues(with: ExceptionRun(old: old, new: new)), run.length &- 1 < longest &- 1 {
                run.length &+= 1
            } else {
                if run.length > 0 { body(run) }
                run = ExceptionRun(old: old, new: new)
            }
        }
        if run.length > 0 { body(run) }
    }
}

/// A run as two words, which order like the run's first old chunk: 56 bits of a chunk number in each, and below them
/// 7 and 8 bits of the length less one. A key leaves the highest bit free, so that two can be compared by subtracting.
struct PackedRun {
    /// Bits below the chunk number in a key.
    static let keyBits: UInt64 = 7
    private static let keyMask: UInt64 = 1 << keyBits - 1
    private static let valueBits: UInt64 = 8
    private static let valueMask: UInt64 = 1 << valueBits - 1

    /// The old chunk and the upper half of the length.
    var key: UInt64
    /// The new chunk and the lower half of the length.
    var value: UInt64

    @inline(__always)
    init(key: UInt64, value: UInt64) {
        self.key = key
        self.value = value
    }

    @inline(__always)
    init(_ run: ExceptionRun) {
        let rest = run.length &- 1
        key = run.old << Self.keyBits | rest >> Self.valueBits
        value = run.new << Self.valueBits | rest & Self.valueMask
    }

    @inline(__always)
    var run: ExceptionRun {
        let rest = (key & Self.keyMask) << Self.valueBits | value & Self.valueMask
        return ExceptionRun(old: key >> Self.keyBits, new: value >> Self.valueBits, length: rest &+ 1)
    }

    /// The largest key of a run that begins at a chunk.
    @inline(__always)
    static func lastKey(of chunk: UInt64) -> UInt64 { chunk << keyBits | keyMask }

    /// The key of the same chunk without a length: the lowest of a run that begins there.
    @inline(__always)
    static func firstKey(_ key: UInt64) -> UInt64 { key & ~keyMask }
}
