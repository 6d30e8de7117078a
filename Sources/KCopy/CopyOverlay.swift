import BlockIO

/// Bytes of the caller's that a copy lays over what it has read before it writes that: a chunk and the write that changes a
/// part of it reach the destinations as one, with one read and one write.
///
/// A destination never gets the source's own data where the overlay is. What a stretch of the region has in several
/// places of the overlay, the last of them decides. Verification and the search for zeroes see the data with the overlay
/// on it; holes are not skipped.
public struct CopyOverlay: Sendable {
    /// Bytes that follow one another.
    public struct Stretch: @unchecked Sendable {  // nobody writes to the memory while a job has it
        /// The bytes, a multiple of 512. They stay the caller's, who leaves them where and as they are until the completion.
        public var memory: UnsafeRawBufferPointer
        /// Where they belong, in bytes from the start of the region: a multiple of 512.
        public var offset: UInt64

        /// The bytes of `memory`, laid on the region from the byte `offset` on.
        public init(_ memory: UnsafeRawBufferPointer, at offset: UInt64) {
            self.memory = memory
            self.offset = offset
        }

        /// `length` bytes from `address` on, laid on the region from the byte `offset` on.
        public init(_ address: UnsafeRawPointer, length: Int, at offset: UInt64) {
            self.init(UnsafeRawBufferPointer(start: address, count: length), at: offset)
        }

        /// The byte after the last, counted like `offset`.
        var end: UInt64 { offset + UInt64(memory.count) }
    }

    /// How many stretches an overlay has at most.
    public static let mostStretches = 64

    /// Its stretches; where two of them meet, the later one counts.
    public var stretches: [Stretch]

    /// An overlay of some stretches, `mostStretches` at most.
    public init(_ stretches: [Stretch]) { self.stretches = stretches }

    /// The sectors of the region that it covers: ascending, with a gap between any two ranges.
    var sectors: [SectorRange] {
        let ranges = stretches.map { stretch in
            SectorRange(
                start: stretch.offset >> UInt64(Sector.shift), count: UInt64(stretch.memory.count >> Sector.shift))
        }
        var joined: [SectorRange] = []
        for range in ranges.sorted(by: { $0.start < $1.start }) where range.count > 0 {
            if let last = joined.last, range.start <= last.end {
                joined[joined.count - 1].count = max(last.end, range.end) - last.start
            } else {
                joined.append(range)
            }
        }
        return joined
    }

    /// Lays what belongs into some sectors of the region over the memory that holds them.
    func lay(over memory: UnsafeMutableRawPointer, holding range: SectorRange) {
        let start = range.start << UInt64(Sector.shift)
        let end = range.end << UInt64(Sector.shift)
        for stretch in stretches {
            let from = max(stretch.offset, start)
            let to = min(stretch.end, end)
            guard from < to, let bytes = stretch.memory.baseAddress else { continue }
            (memory + Int(from - start)).copyMemory(from: bytes + Int(from - stretch.offset), byteCount: Int(to - from))
        }
    }
}
