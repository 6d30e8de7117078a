/// The committed exceptions of a snapshot, in memory: which chunk of the store holds which chunk of the origin.
///
/// A B+ tree of runs, ordered by old chunk: a run is 16 bytes, whatever its length. Nodes have 32 to 64 entries and at
/// most 8 unused ones, so that random chunks take 17 to 21 bytes each, all included. A change touches a leaf and, once
/// in dozens, the nodes above it, none of which is larger than 1 KiB; nothing is ever rebuilt as a whole.
///
/// It belongs to the queue thread of its snapshot. Whoever loads it builds it alone, and hands it over before anybody
/// uses it.
final class ExceptionTable: @unchecked Sendable {  // used by one thread at a time: the loader's, then the snapshot's
    /// More levels than any table has: 32 entries to a node make 2^60 of 12.
    private static let mostLevels = 16

    var root: TableNode
    /// Levels of inner nodes; 0 where the root is a leaf.
    var height = 0
    /// Exceptions; each chunk of a run counts.
    var count: UInt64 = 0
    /// The way from the root to the leaf that a change is made in: nodes, and the place of the next one in each.
    let path: UnsafeMutablePointer<(node: TableNode, index: Int)>

    /// An empty table.
    convenience init() {
        self.init(root: TableNode(capacity: TableNode.capacity(for: 1)), height: 0, count: 0)
    }

    /// A table of nodes that somebody has built; it owns them from here on.
    init(root: TableNode, height: Int, count: UInt64) {
        self.root = root
        self.height = height
        self.count = count
        path = .allocate(capacity: Self.mostLevels)
    }

    deinit {
        Self.free(root, height)
        path.deallocate()
    }

    private static func free(_ node: TableNode, _ height: Int) {
        if height > 0 {
            for index in 0..<node.count { free(node.child(index), height - 1) }
        }
        node.free()
    }

    // MARK: Looking up

    /// Where a chunk of the origin is in the store, and how many chunks from it on follow it there; nil where it has no
    /// exception.
    func lookup(_ chunk: UInt64) -> (newChunk: UInt64, length: UInt64)? {
        let key = PackedRun.lastKey(of: chunk)
        var node = root
        for _ in 0..<height { node = node.child(node.childIndex(key)) }
        let rank = node.rank(key)
        guard rank > 0 else { return nil }
        let run = PackedRun(key: node.keys[rank &- 1], value: node.values[rank &- 1]).run
        let offset = chunk &- run.old
        return offset < run.length ? (run.new &+ offset, run.length &- offset) : nil
    }

    /// The rest of the run that holds a chunk, from this chunk on, or the next run behind the chunk; nil where there is
    /// none.
    func run(atOrAfter chunk: UInt64) -> ExceptionRun? {
        let key = PackedRun.lastKey(of: chunk)
        var node = root
        var behind: (node: TableNode, height: Int)?
        for level in 0..<height {
            let index = node.childIndex(key)
            if index + 1 < node.count { behind = (node.child(index + 1), height - level - 1) }
            node = node.child(index)
        }
        let rank = node.rank(key)
        if rank > 0 {
            let run = node.run(rank - 1)
            if run.oldEnd > chunk {
                let offset = chunk - run.old
                return ExceptionRun(old: chunk, new: run.new + offset, length: run.length - offset)
            }
        }
        if rank < node.count { return node.run(rank) }
        guard let behind else { return nil }
        var first = behind.node
        for _ in 0..<behind.height { first = first.child(0) }
        return first.run(0)
    }

    /// How many chunks from this one on have no exception, at most `limit`; 0 where it has one itself.
    func unmappedLength(from chunk: UInt64, limit: UInt64) -> UInt64 {
        guard let next = run(atOrAfter: chunk) else { return limit }
        return min(next.old - chunk, limit)
    }

    /// Calls a body with every run, in ascending order of the old chunk. The table must not be changed meanwhile.
    func forEachRun<Failure: Error>(_ body: (ExceptionRun) throws(Failure) -> Void) throws(Failure) {
        try Self.visit(root, height, body)
    }

    private static func visit<Failure: Error>(
        _ node: TableNode, _ height: Int, _ body: (ExceptionRun) throws(Failure) -> Void
    ) throws(Failure) {
        for index in 0..<node.count {
            if height > 0 { try visit(node.child(index), height - 1, body) } else { try body(node.run(index)) }
        }
    }

    // MARK: Size

    /// Runs that the exceptions make.
    var runCount: Int { Self.sum(root, height) { $1 ? $0.count : 0 } }

    /// The memory that the table holds, in bytes, with what the allocator adds.
    var memoryBytes: Int {
        Self.sum(root, height) { node, _ in node.memoryBytes } + 128
            + Self.mostLevels * MemoryLayout<(TableNode, Int)>.stride
    }

    private static func sum(_ node: TableNode, _ height: Int, _ measure: (TableNode, _ isLeaf: Bool) -> Int) -> Int {
        var total = measure(node, height == 0)
        if height > 0 {
            for index in 0..<node.count { total += sum(node.child(index), height - 1, measure) }
        }
        return total
    }
}

extension TableNode {
    /// Entry `index` of a leaf.
    @inline(__always)
    func run(_ index: Int) -> ExceptionRun { PackedRun(key: keys[index], value: values[index]).run }

    /// Replaces entry `index` of a leaf.
    func setRun(_ run: ExceptionRun, at index: Int) {
        let packed = PackedRun(run)
        keys[index] = packed.key
        values[index] = packed.value
    }
}
