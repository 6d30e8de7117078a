import BlockIO

/// What an origin and its snapshots have to hold and to say: plain arrays, no chunks copied anywhere.
struct SnapshotModel {
    /// How a snapshot is made, and what its table line says.
    struct Shape: Hashable, Sendable {
        var chunk: UInt64
        /// The word of the table line: P, PO or N.
        var store = "P"
        var features: [String] = []
        /// The length of the snapshot in sectors.
        var sectors: UInt64
        /// The size of its store in sectors.
        var storeSectors: UInt64
        var isPersistent: Bool { store != "N" }

        /// How many exceptions fit.
        var capacity: Int {
            let chunks = storeSectors / chunk
            guard isPersistent else { return Int(chunks) }
            let perArea = chunk * 32
            var fits = 0
            for place in 2..<max(chunks, 2) where place % (perArea + 1) != 1 { fits += 1 }
            // An area that is full needs another behind it, or nobody could load the store.
            if fits > 0, UInt64(fits) % perArea == 0, chunks <= 1 + UInt64(fits) / perArea * (perArea + 1) { fits -= 1 }
            return fits
        }

        /// What the status line says with so many exceptions.
        func status(exceptions: Int) -> String {
            guard isPersistent else { return "\(UInt64(exceptions) * chunk)/\(storeSectors) 0" }
            let areas = UInt64(exceptions) / (chunk * 32)
            return "\((2 + UInt64(exceptions) + areas) * chunk)/\(storeSectors) \((2 + areas) * chunk)"
        }
    }

    enum State: Hashable {
        case normal
        /// Takes no writes.
        case overflow
        /// Cannot be used any more.
        case invalid
    }

    struct Snapshot {
        var shape: Shape
        var content: SectorContent
        /// The chunks that have an exception.
        var exceptions: Set<UInt64> = []
        /// The chunks that may have one.
        var doubtful: Set<UInt64> = []
        var state = State.normal

        /// Whether it may have run full by now.
        var mayBeFull: Bool { exceptions.union(doubtful).count > shape.capacity }
        /// Whether it must have.
        var isFull: Bool { exceptions.count > shape.capacity }
        /// Whether a request may end with an error.
        var mayFail: Bool { state != .normal || mayBeFull }

        /// The store was loaded again: which of the chunks it had no room for is not known.
        mutating func forgetOverflow() {
            state = .normal
            doubtful.formUnion(exceptions)
            exceptions = []
        }

        func chunks(_ range: SectorRange) -> ClosedRange<UInt64> {
            range.start / shape.chunk...(range.end - 1) / shape.chunk
        }
    }

    /// What the origin device shows: while a snapshot is merged, the merged view.
    var origin: SectorContent
    var snapshots: [Int: Snapshot] = [:]
    /// The snapshot that is being merged into the origin.
    var merging: Snapshot?

    init(origin: SectorContent) { self.origin = origin }

    var originSectors: UInt64 { UInt64(origin.count) }

    /// Freezes the origin, which is suspended.
    mutating func take(_ slot: Int, _ shape: Shape) {
        origin.collapse()
        let base = (0..<Int(shape.sectors)).map { $0 < origin.count ? origin.base[$0] : .anything }
        snapshots[slot] = Snapshot(shape: shape, content: SectorContent(base))
    }

    /// Something is about to be written to the origin.
    mutating func willWriteOrigin(_ range: SectorRange) {
        for slot in snapshots.keys { need(slot, range) }
    }

    /// Something is about to be written to a snapshot.
    mutating func willWrite(_ slot: Int, _ range: SectorRange) {
        guard snapshots[slot]?.state == .normal, let chunks = snapshots[slot]?.chunks(range) else { return }
        snapshots[slot]?.exceptions.formUnion(chunks)
    }

    /// The chunks of a range have to be saved before the origin changes.
    private mutating func need(_ slot: Int, _ range: SectorRange) {
        guard var snapshot = snapshots[slot], snapshot.state != .invalid else { return }
        for chunk in snapshot.chunks(range) {
            let start = max(chunk * snapshot.shape.chunk, range.start)
            if start < snapshot.shape.sectors {
                snapshot.exceptions.insert(chunk)
            } else if chunk * snapshot.shape.chunk < snapshot.shape.sectors {
                snapshot.doubtful.insert(chunk)
            }
        }
        snapshots[slot] = snapshot
    }

    /// The origin device shows the content of a snapshot from now on; both are suspended.
    mutating func startMerge(_ slot: Int) {
        guard var snapshot = snapshots.removeValue(forKey: slot) else { return }
        snapshot.content.collapse()
        origin.collapse()
        let base = origin.base.indices.map { sector -> SectorContent.Legal in
            if sector < snapshot.content.count { return snapshot.content.base[sector] }
            // The rest of a chunk that begins inside of the snapshot goes back with it.
            let chunk = UInt64(sector) / snapshot.shape.chunk * snapshot.shape.chunk
            return chunk < snapshot.shape.sectors ? .anything : origin.base[sector]
        }
        origin = SectorContent(base)
        merging = snapshot
        for chunk in snapshot.exceptions.union(snapshot.doubtful) {
            let start = chunk * snapshot.shape.chunk
            guard start < originSectors else { continue }
            let range = SectorRange(start: start, count: min(snapshot.shape.chunk, originSectors - start))
            for other in snapshots.keys { doubt(other, range) }
        }
    }

    private mutating func doubt(_ slot: Int, _ range: SectorRange) {
        guard let snapshot = snapshots[slot], snapshot.state != .invalid else { return }
        for chunk in snapshot.chunks(range) where chunk * snapshot.shape.chunk < snapshot.shape.sectors {
            snapshots[slot]?.doubtful.insert(chunk)
        }
    }

    /// The merge has come to its end.
    mutating func endMerge() { merging = nil }
}
