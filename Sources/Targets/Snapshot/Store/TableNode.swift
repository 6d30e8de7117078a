import CLinux

/// A node of an `ExceptionTable`: a block of memory that holds two sorted columns, keys and values.
///
/// Leaves hold packed runs. Inner nodes hold the lowest key that belongs below each child, and the child's address. The
/// columns are apart so that a search reads keys only. The block has room for little more than what is in it and is
/// replaced when it grows: that bounds the slack, which fixed blocks, half full after a split, would not.
struct TableNode {
    /// Most entries.
    static let limit = 64
    /// Entries of a node of a new table: some room is left before the first change splits it.
    static let fill = limit * 7 / 8
    /// Lines of memory, of 64 bytes, that a node of a new table takes.
    private static let lines = 15
    /// Entries that room is made for at a time.
    private static let step = 8

    /// Word 0: the number of entries, and above bit 32 the number that there is room for. Then keys, then values.
    let words: UnsafeMutablePointer<UInt64>

    @inline(__always)
    init(words: UnsafeMutablePointer<UInt64>) { self.words = words }

    /// The node whose address was kept as a value.
    @inline(__always)
    init(address: UInt64) {
        guard let words = UnsafeMutablePointer<UInt64>(bitPattern: UInt(truncatingIfNeeded: address)) else {
            preconditionFailure("a child of an exception table without address")
        }
        self.words = words
    }

    /// An empty node.
    init(capacity: Int) {
        words = .allocate(capacity: 1 + 2 * capacity)
        words[0] = UInt64(capacity) << 32
    }

    func free() { words.deallocate() }

    @inline(__always)
    var address: UInt64 { UInt64(UInt(bitPattern: words)) }
    @inline(__always)
    var count: Int {
        get { Int(truncatingIfNeeded: words[0] & 0xffff_ffff) }
        nonmutating set { words[0] = words[0] & ~0xffff_ffff | UInt64(truncatingIfNeeded: newValue) }
    }
    @inline(__always)
    var capacity: Int { Int(truncatingIfNeeded: words[0] >> 32) }
    @inline(__always)
    var keys: UnsafeMutablePointer<UInt64> { words + 1 }
    @inline(__always)
    var values: UnsafeMutablePointer<UInt64> { words + 1 + capacity }
    @inline(__always)
    func child(_ index: Int) -> TableNode { TableNode(address: values[index]) }

    /// The bytes of the block, with the word that malloc(3) puts before each; both together are a multiple of its 16.
    var memoryBytes: Int { (2 + 2 * capacity) * MemoryLayout<UInt64>.size }

    /// How many keys are at most `key`.
    ///
    /// A node is most likely in no cache. All keys are looked at, because then the processor fetches their lines at the
    /// same time; halving would wait for one after the other. The values are on their way meanwhile.
    @inline(__always)
    func rank(_ key: UInt64) -> Int {
        let raw = UnsafeRawPointer(words)
        for line in 0..<Self.lines { clinux_prefetch(raw + line * 64) }
        let keys = keys
        var rank: UInt64 = 0
        // One where that key is at most `key`.
        for index in 0..<count { rank &+= (keys[index] &- key &- 1) &>> 63 }
        return Int(truncatingIfNeeded: rank)
    }

    /// The place of the child that a key belongs below.
    @inline(__always)
    func childIndex(_ key: UInt64) -> Int { max(rank(key) &- 1, 0) }

    // MARK: Changing

    /// Puts an entry before number `index`; there must be room.
    func insert(_ key: UInt64, _ value: UInt64, at index: Int) {
        let tail = count - index
        (keys + index + 1).update(from: keys + index, count: tail)
        (values + index + 1).update(from: values + index, count: tail)
        keys[index] = key
        values[index] = value
        count += 1
    }

    /// Takes entry `index` away.
    func remove(at index: Int) {
        let tail = count - index - 1
        (keys + index).update(from: keys + index + 1, count: tail)
        (values + index).update(from: values + index + 1, count: tail)
        count -= 1
    }

    /// Puts a stretch of another node's entries behind the last; there must be room.
    func append(_ other: TableNode, _ range: Range<Int>) {
        (keys + count).update(from: other.keys + range.lowerBound, count: range.count)
        (values + count).update(from: other.values + range.lowerBound, count: range.count)
        count += range.count
    }

    /// The same entries in a block with room for a few more; this node is gone.
    func resized() -> TableNode {
        let node = TableNode(capacity: Self.capacity(for: count + 1))
        node.append(self, 0..<count)
        free()
        return node
    }

    /// The room that a node of so many entries gets.
    static func capacity(for count: Int) -> Int { (count + step - 1) / step * step }

    /// Whether so much of the block is unused that a smaller one is worth while.
    var isWasteful: Bool { capacity - Self.capacity(for: count + 1) >= 2 * Self.step }
}
