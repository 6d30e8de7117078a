extension ExceptionTable {
    /// The table of leaves that were built in stretches of ascending order; nil where two exceptions have the same old
    /// chunk. It owns the leaves, or they are gone.
    static func make(of lists: [LeafList]) -> ExceptionTable? {
        var end: UInt64 = 0
        var isSound = true
        for list in lists {
            guard let range = list.range else { continue }
            isSound = isSound && !list.hasDuplicates && range.lowerBound >= end
            end = range.upperBound
        }
        var level = lists.flatMap { $0.leaves }
        guard isSound else {
            for leaf in level { TableNode(address: leaf.value).free() }
            return nil
        }
        var height = 0
        while level.count > 1 {
            level = above(level)
            height += 1
        }
        guard let root = level.first else { return ExceptionTable() }
        return ExceptionTable(
            root: TableNode(address: root.value), height: height, count: lists.reduce(0) { $0 + $1.count })
    }

    private static func above(_ level: [PackedRun]) -> [PackedRun] {
        stride(from: 0, to: level.count, by: TableNode.fill).map { first in
            let part = level[first..<min(first + TableNode.fill, level.count)]
            let node = TableNode(capacity: TableNode.capacity(for: part.count))
            for child in part { node.insert(child.key, child.value, at: node.count) }
            return PackedRun(key: node.keys[0], value: node.address)
        }
    }
}
