/// Builds an `ExceptionTable` from runs that come in ascending order; finds old chunks that come twice.
struct TableBuilder: RunSink, ~Copyable {
    /// Entries of a leaf, and of an inner node, of a new table: some room is left before the first change splits it.
    private static let leafFill = TableNode.leafLimit * 7 / 8
    private static let innerFill = TableNode.innerLimit * 7 / 8

    private var pending: ExceptionRun?
    private var leaf: TableNode
    private var leafCount = 0
    private var leaves: [PackedRun] = []
    private var count: UInt64 = 0
    /// Whether an old chunk came twice.
    private(set) var hasDuplicates = false

    init() { leaf = TableNode(capacity: Self.leafFill) }

    deinit {
        leaf.free()
        for entry in leaves { TableNode(address: entry.value).free() }
    }

    @inline(__always)
    mutating func take(_ packed: PackedRun) {
        let run = packed.run
        count &+= run.length
        guard var before = pending else {
            pending = run
            return
        }
        if before.oldEnd > run.old { hasDuplicates = true }
        if before.continues(with: run), before.length &+ run.length <= ExceptionRun.longest {
            before.length &+= run.length
            pending = before
        } else {
            put(PackedRun(before))
            pending = run
        }
    }

    @inline(__always)
    private mutating func put(_ run: PackedRun) {
        if leafCount == Self.leafFill { closeLeaf() }
        leaf.keys[leafCount] = run.key
        leaf.values[leafCount] = run.value
        leafCount &+= 1
    }

    private mutating func closeLeaf() {
        leaf.count = leafCount
        leaves.append(PackedRun(key: PackedRun.firstKey(leaf.keys[0]), value: leaf.address))
        leaf = TableNode(capacity: Self.leafFill)
        leafCount = 0
    }

    /// The table of everything that came.
    mutating func build() -> ExceptionTable {
        precondition(!hasDuplicates, "an exception table with a chunk that has two exceptions")
        if let pending { put(PackedRun(pending)) }
        pending = nil
        leaf.count = leafCount
        if leafCount > 0 { closeLeaf() }
        var level = leaves
        leaves = []
        var height = 0
        while level.count > 1 {
            level = Self.above(level)
            height += 1
        }
        guard let root = level.first else { return ExceptionTable() }
        return ExceptionTable(root: TableNode(address: root.value), height: height, count: count)
    }

    private static func above(_ level: [PackedRun]) -> [PackedRun] {
        stride(from: 0, to: level.count, by: innerFill).map { first in
            let part = level[first..<min(first + innerFill, level.count)]
            let node = TableNode(capacity: TableNode.capacity(for: part.count))
            for child in part { node.insert(child.key, child.value, at: node.count) }
            return PackedRun(key: node.keys[0], value: node.address)
        }
    }
}
