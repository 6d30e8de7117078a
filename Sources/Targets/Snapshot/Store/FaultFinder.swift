import BlockIO

/// Finds everything that is wrong with a list of exceptions, one by one: thorough and slow. `ExceptionBulk` tells
/// quickly whether there is anything to find.
struct FaultFinder {
    /// Where the exceptions are.
    let list: ExceptionList
    /// Chunks of the origin; nil where it is unknown.
    let originChunks: UInt64?

    private struct Seen {
        var chunk: UInt64
        /// Number of the slot, counted through all areas.
        var slot: UInt64
    }

    /// All faults of exceptions, by place.
    func faults() throws(BlockError) -> [StoreFault] {
        var faults: [StoreFault] = []
        var olds: [Seen] = []
        var news: [Seen] = []
        let perArea = list.geometry.exceptionsPerArea
        try list.forEach { area, slot, entry in
            let number = area * perArea + slot
            let wrong = rulesBroken(by: entry)
            faults += wrong.map { StoreFault(rule: $0, place: place(number)) }
            if wrong.isEmpty {
                olds.append(Seen(chunk: entry.old, slot: number))
                news.append(Seen(chunk: entry.new, slot: number))
            }
        }
        faults += twice(&olds) { .oldChunkTwice($0, first: $1) }
        faults += twice(&news) { .newChunkTwice($0, first: $1) }
        func order(_ fault: StoreFault) -> UInt64 { fault.place.map { $0.area * perArea + $0.slot } ?? 0 }
        return faults.sorted { order($0) < order($1) }
    }

    private func place(_ number: UInt64) -> StorePlace {
        let perArea = list.geometry.exceptionsPerArea
        return StorePlace(geometry: list.geometry, area: number / perArea, slot: number % perArea)
    }

    private func rulesBroken(by entry: ExceptionEntry) -> [StoreFault.Rule] {
        var rules: [StoreFault.Rule] = []
        if entry.old >= StoreGeometry.chunkLimit {
            rules.append(.oldChunkTooLarge(entry.old))
        } else if let originChunks, entry.old >= originChunks {
            rules.append(.oldChunkBeyondOrigin(entry.old, chunks: originChunks))
        }
        let chunks = list.geometry.chunks(in: list.sectors)
        if entry.new >= chunks {
            rules.append(.newChunkBeyondStore(entry.new, chunks: chunks))
        } else if list.geometry.isArea(entry.new) {
            rules.append(.newChunkIsArea(entry.new))
        }
        return rules
    }

    /// A fault for each chunk that was seen before.
    private func twice(_ seen: inout [Seen], _ rule: (UInt64, StorePlace) -> StoreFault.Rule) -> [StoreFault] {
        seen.sort { ($0.chunk, $0.slot) < ($1.chunk, $1.slot) }
        var faults: [StoreFault] = []
        var first = seen.first
        for other in seen.dropFirst() {
            if let known = first, known.chunk == other.chunk {
                faults.append(StoreFault(rule: rule(other.chunk, place(known.slot)), place: place(other.slot)))
            } else {
                first = other
            }
        }
        return faults
    }
}
