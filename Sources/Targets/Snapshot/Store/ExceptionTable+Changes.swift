extension ExceptionTable {
    /// Adds an exception; the chunk must have none, and both numbers are below 2^56.
    func insert(old: UInt64, new: UInt64) {
        precondition(old < StoreGeometry.chunkLimit && new < StoreGeometry.chunkLimit, "exception \(old) -> \(new)")
        let leaf = descend(to: old)
        let rank = leaf.rank(PackedRun.lastKey(of: old))
        var run = ExceptionRun(old: old, new: new)
        var joinsBefore = false
        if rank > 0 {
            let before = leaf.run(rank - 1)
            precondition(before.oldEnd <= old, "chunk \(old) has an exception")
            joinsBefore = before.continues(with: run) && before.length < ExceptionRun.longest
            if joinsBefore { run = ExceptionRun(old: before.old, new: before.new, length: before.length + 1) }
        }
        count += 1
        if rank < leaf.count {
            let after = leaf.run(rank)
            if run.continues(with: after), run.length + after.length <= ExceptionRun.longest {
                run.length += after.length
                leaf.setRun(run, at: joinsBefore ? rank - 1 : rank)
                if joinsBefore { removeEntry(at: rank) }
                return
            }
        }
        if joinsBefore { leaf.setRun(run, at: rank - 1) } else { insertEntry(PackedRun(run), at: rank, level: height) }
    }

    /// Takes an exception away; false where the chunk has none. A run that it was in the middle of becomes two.
    @discardableResult
    func remove(old: UInt64) -> Bool {
        let leaf = descend(to: old)
        let index = leaf.rank(PackedRun.lastKey(of: old)) - 1
        guard index >= 0 else { return false }
        let run = leaf.run(index)
        guard run.oldEnd > old else { return false }
        count -= 1
        let head = old - run.old
        let tail = ExceptionRun(old: old + 1, new: run.new + head + 1, length: run.length - head - 1)
        switch (head, tail.length) {
        case (0, 0): removeEntry(at: index)
        case (0, _): leaf.setRun(tail, at: index)
        default:
            leaf.setRun(ExceptionRun(old: run.old, new: run.new, length: head), at: index)
            if tail.length > 0 { insertEntry(PackedRun(tail), at: index + 1, level: height) }
        }
        return true
    }

    /// The leaf that a chunk belongs in; the way to it is left in `path`.
    private func descend(to chunk: UInt64) -> TableNode {
        let key = PackedRun.lastKey(of: chunk)
        var node = root
        for level in 0..<height {
            let index = node.childIndex(key)
            // Below all others: the first key of a node is never above what is below it.
            if key < node.keys[0] { node.keys[0] = PackedRun.firstKey(key) }
            path[level] = (node, index)
            node = node.child(index)
        }
        path[height] = (node, 0)
        return node
    }

    // MARK: Growing

    /// Puts an entry into the node of the path at a level; the leaves' level is `height`.
    private func insertEntry(_ entry: PackedRun, at index: Int, level: Int) {
        let node = path[level].node
        if node.count == TableNode.limit {
            return split(node, inserting: entry, at: index, level: level)
        }
        if node.count < node.capacity { return node.insert(entry.key, entry.value, at: index) }
        let larger = node.resized()
        replace(at: level, by: larger)
        larger.insert(entry.key, entry.value, at: index)
    }

    /// Makes two nodes of a full one; the second begins at the middle, and goes into the node above.
    private func split(_ node: TableNode, inserting entry: PackedRun, at index: Int, level: Int) {
        let middle = node.count / 2
        let left = TableNode(capacity: TableNode.capacity(for: middle + 1))
        let right = TableNode(capacity: TableNode.capacity(for: node.count - middle + 1))
        left.append(node, 0..<middle)
        right.append(node, middle..<node.count)
        node.free()
        if index <= middle {
            left.insert(entry.key, entry.value, at: index)
        } else {
            right.insert(entry.key, entry.value, at: index - middle)
        }
        // Without the length: what is between a run's chunk and its length belongs to the run.
        let separator = PackedRun.firstKey(right.keys[0])
        if level == 0 {
            let top = TableNode(capacity: TableNode.capacity(for: 2))
            top.insert(PackedRun.firstKey(left.keys[0]), left.address, at: 0)
            top.insert(separator, right.address, at: 1)
            root = top
            height += 1
        } else {
            let parent = path[level - 1]
            parent.node.values[parent.index] = left.address
            insertEntry(PackedRun(key: separator, value: right.address), at: parent.index + 1, level: level - 1)
        }
    }

    /// Another block for a node of the path.
    private func replace(at level: Int, by node: TableNode) {
        path[level].node = node
        if level == 0 {
            root = node
        } else {
            path[level - 1].node.values[path[level - 1].index] = node.address
        }
    }

    // MARK: Shrinking

    /// Takes entry `index` out of the leaf of the path.
    private func removeEntry(at index: Int) {
        path[height].node.remove(at: index)
        balance(level: height)
    }

    /// After a removal: a node with few entries is joined with a neighbour, or gets a smaller block.
    private func balance(level: Int) {
        let node = path[level].node
        if level == 0 {
            while height > 0, root.count == 1 { dropRoot() }
        } else if node.count < TableNode.limit / 4, joinNeighbour(level: level, limit: TableNode.limit * 3 / 4) {
            return balance(level: level - 1)
        }
        // The root may be another one now; the path's nodes below it are as they were.
        let rest = level == 0 ? root : node
        if rest.isWasteful { replace(at: level, by: rest.resized()) }
    }

    private func dropRoot() {
        let child = root.child(0)
        root.free()
        root = child
        height -= 1
    }

    /// Joins a node of the path with the one behind or before it, if both together have at most `most` entries, and
    /// takes an empty one away in any case; the node above has one entry less then. False where nothing was done.
    private func joinNeighbour(level: Int, limit most: Int) -> Bool {
        let (parent, index) = path[level - 1]
        let node = path[level].node
        let first = index + 1 < parent.count ? index : index - 1
        guard first >= 0 else {
            // The only child: it can go only when it is empty, and the node above is empty then.
            if node.count == 0 { drop(index, of: parent) }
            return parent.count == 0
        }
        let left = parent.child(first)
        let right = parent.child(first + 1)
        if node.count == 0 {
            drop(index, of: parent)
            return true
        }
        guard left.count + right.count <= most else { return false }
        let joined = TableNode(capacity: TableNode.capacity(for: left.count + right.count))
        joined.append(left, 0..<left.count)
        joined.append(right, 0..<right.count)
        if level == height { collapse(joined, at: left.count) }
        left.free()
        parent.values[first] = joined.address
        drop(first + 1, of: parent)
        return true
    }

    private func drop(_ index: Int, of parent: TableNode) {
        parent.child(index).free()
        parent.remove(at: index)
    }

    /// Makes one run of the one that begins at an entry and the one before it, where they follow each other.
    private func collapse(_ leaf: TableNode, at index: Int) {
        guard index > 0, index < leaf.count else { return }
        let before = leaf.run(index - 1)
        let after = leaf.run(index)
        guard before.continues(with: after), before.length + after.length <= ExceptionRun.longest else { return }
        leaf.setRun(ExceptionRun(old: before.old, new: before.new, length: before.length + after.length), at: index - 1)
        leaf.remove(at: index)
    }
}
