/// Leaves of a table, in ascending order: what one thread has built.
struct LeafList {
    /// The key and the address of each leaf.
    var leaves: [PackedRun] = []
    /// Exceptions in them; each chunk of a run counts.
    var count: UInt64 = 0
    /// The first old chunk, and the one behind the last.
    var range: Range<UInt64>?
    /// Whether an old chunk came twice.
    var hasDuplicates = false
}

/// Builds leaves from runs that come in ascending order; finds old chunks that come twice.
struct LeafBuilder: ~Copyable {
    private var list = LeafList()
    private var first: UInt64 = 0
    /// The run that the next one may go on from; its length is 0 before the first.
    private var pending = ExceptionRun(old: 0, new: 0, length: 0)
    private var leaf: TableNode?
    /// Where the next run goes; `TableNode.fill`: into a new leaf.
    private var place = TableNode.fill

    init() {}

    deinit {
        leaf?.free()
        for entry in list.leaves { TableNode(address: entry.value).free() }
    }

    /// Takes the sorted words of a bucket.
    mutating func take<Code: RunCode>(
        _ words: UnsafeMutablePointer<Code.Word>, _ count: Int, _ code: Code, bucket: UInt64
    ) {
        guard count > 1, !code.haveNeighbours(words, count) else {
            for index in 0..<count { take(code.run(words[index], bucket: bucket)) }
            return
        }
        // Only the first has to do with what came before.
        take(code.run(words[0], bucket: bucket))
        put(pending)
        putAll(words + 1, count - 2, code, bucket)
        pending = code.run(words[count - 1], bucket: bucket)
        list.count += pending.length
    }

    private mutating func take(_ run: ExceptionRun) {
        list.count += run.length
        if pending.length == 0 {
            first = run.old
        } else {
            if pending.oldEnd > run.old { list.hasDuplicates = true }
            if pending.continues(with: run), pending.length + run.length <= ExceptionRun.longest {
                pending.length += run.length
                return
            }
            put(pending)
        }
        pending = run
    }

    // MARK: Leaves

    private mutating func put(_ run: ExceptionRun) {
        if place == TableNode.fill { beginLeaf() }
        let packed = PackedRun(run)
        leaf?.keys[place] = packed.key
        leaf?.values[place] = packed.value
        place += 1
    }

    private mutating func putAll<Code: RunCode>(
        _ words: UnsafeMutablePointer<Code.Word>, _ count: Int, _ code: Code, _ bucket: UInt64
    ) {
        var total: UInt64 = 0
        var done = 0
        while done < count {
            if place == TableNode.fill { beginLeaf() }
            guard let leaf else { return }
            let (keys, values) = (leaf.keys + place, leaf.values + place)
            let part = min(count - done, TableNode.fill - place)
            for index in 0..<part {
                let run = code.run(words[done &+ index], bucket: bucket)
                total &+= run.length
                let packed = PackedRun(run)
                keys[index] = packed.key
                values[index] = packed.value
            }
            done += part
            place += part
        }
        list.count += total
    }

    private mutating func beginLeaf() {
        closeLeaf()
        leaf = TableNode(capacity: TableNode.fill)
        place = 0
    }

    private mutating func closeLeaf() {
        guard let full = leaf else { return }
        full.count = place
        // The last one may have few.
        let leaf = full.isWasteful ? full.resized() : full
        list.leaves.append(PackedRun(key: PackedRun.firstKey(leaf.keys[0]), value: leaf.address))
        self.leaf = nil
        place = TableNode.fill
    }

    /// The leaves of everything that came; they belong to the caller.
    mutating func finish() -> LeafList {
        if pending.length > 0 {
            put(pending)
            closeLeaf()
            list.range = first..<max(first, pending.oldEnd)
        }
        pending.length = 0
        var result = LeafList()
        swap(&result, &list)
        return result
    }
}
