/// Exceptions whose chunks follow each other on both sides: `old + i` is at `new + i`.
struct ExceptionRun: Hashable, Sendable {
    /// The most that one run of a table holds; a longer one is kept as several.
    static let longest: UInt64 = 1 << 16

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

/// A run as two words, which order like the run's first old chunk: 56 bits of a chunk number and 8 bits of the length
/// less one in each.
struct PackedRun {
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
        key = run.old << 8 | rest >> 8
        value = run.new << 8 | rest & 0xff
    }

    @inline(__always)
    var run: ExceptionRun {
        ExceptionRun(old: key >> 8, new: value >> 8, length: (key & 0xff) << 8 &+ value & 0xff &+ 1)
    }

    /// The largest key of a run that begins at a chunk.
    @inline(__always)
    static func lastKey(of chunk: UInt64) -> UInt64 { chunk << 8 | 0xff }
}
