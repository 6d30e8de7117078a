import BlockIO

/// What each sector of a device may hold, given everything that was done to it and when: one value mostly, several
/// where writes overlapped in time, failed, or may have been lost.
struct SectorContent {
    /// Several values, or any.
    enum Legal: Hashable {
        case one(UInt64)
        case several(Set<UInt64>)
        case anything

        func allows(_ tag: UInt64?) -> Bool {
            switch self {
            case .one(let value): tag == value
            case .several(let values): tag.map(values.contains) ?? false
            case .anything: true
            }
        }

        func or(_ other: Legal) -> Legal {
            switch (self, other) {
            case (.anything, _), (_, .anything): .anything
            case (.one(let a), .one(let b)): a == b ? self : .several([a, b])
            case (.one(let a), .several(let b)), (.several(let b), .one(let a)): .several(b.union([a]))
            case (.several(let a), .several(let b)): .several(a.union(b))
            }
        }
    }

    /// One request that changed something, or may have.
    struct Write {
        let range: SectorRange
        /// The number of the first sector's content, the next sector's is one more; nil where nobody knows the content.
        let tag: UInt64?
        let submitted: Int
        var ended: Int?
        var hasFailed = false
        /// From when on it is safe from a power cut.
        var durable: Int?

        func legal(_ sector: Int) -> Legal { tag.map { .one($0 + UInt64(sector) - range.start) } ?? .anything }
    }

    /// What was there before all of `writes`.
    private(set) var base: [Legal]
    private(set) var writes: [Write] = []
    /// The writes that touch a sector.
    private var history: [[Int]]

    init(_ base: [Legal]) {
        self.base = base
        history = Array(repeating: [], count: base.count)
    }

    init(tags: [UInt64]) { self.init(tags.map { .one($0) }) }

    var count: Int { base.count }

    /// A write, or with `tag` nil a discard, begins.
    /// - Returns: its number.
    mutating func begin(_ range: SectorRange, tag: UInt64?, at moment: Int) -> Int {
        writes.append(Write(range: range, tag: tag, submitted: moment))
        for sector in Int(range.start)..<Int(range.end) where sector < history.count {
            history[sector].append(writes.count - 1)
        }
        return writes.count - 1
    }

    mutating func end(_ write: Int, at moment: Int, failed: Bool, isDurable: Bool) {
        writes[write].ended = moment
        writes[write].hasFailed = failed
        if isDurable, !failed { writes[write].durable = moment }
    }

    /// A flush has ended well: what had ended before it began is durable.
    mutating func flushed(from submitted: Int, to ended: Int) {
        for index in writes.indices where (writes[index].ended ?? .max) < submitted && !writes[index].hasFailed {
            writes[index].durable = min(writes[index].durable ?? .max, ended)
        }
    }

    /// What a read may find that began and ended at these moments.
    func legal(_ sector: Int, readFrom begun: Int, to ended: Int) -> Legal {
        legal(sector, before: ended) { ($0.ended ?? .max) < begun && !$0.hasFailed }
    }

    /// What may be there after a power cut just before a moment.
    func legal(_ sector: Int, afterCutBefore cut: Int) -> Legal {
        legal(sector, before: cut) { ($0.durable ?? .max) < cut }
    }

    /// The values of all writes that began before a moment and have not been replaced by one that counts as sure.
    private func legal(_ sector: Int, before moment: Int, isSure: (Write) -> Bool) -> Legal {
        let touching = history[sector]
        if touching.isEmpty { return base[sector] }
        var lastSure = -1
        for index in touching where isSure(writes[index]) { lastSure = max(lastSure, writes[index].submitted) }
        var result: Legal? = lastSure < 0 ? base[sector] : nil
        for index in touching {
            let write = writes[index]
            guard write.submitted < moment, (write.ended ?? .max) >= lastSure else { continue }
            let value = write.legal(sector)
            result = result.map { $0.or(value) } ?? value
        }
        return result ?? base[sector]
    }

    /// What is there after a power cut just before a moment, as a new beginning.
    func afterCut(before moment: Int) -> SectorContent {
        SectorContent(base.indices.map { legal($0, afterCutBefore: moment) })
    }

    /// Forgets what no longer matters; nothing may be under way.
    mutating func collapse() {
        for sector in history.indices where !history[sector].isEmpty {
            base[sector] = legal(sector, readFrom: .max, to: .max)
            history[sector] = []
        }
        writes = []
    }

    /// Everything, when nothing is under way.
    var now: [Legal] { base.indices.map { legal($0, readFrom: .max, to: .max) } }
}
