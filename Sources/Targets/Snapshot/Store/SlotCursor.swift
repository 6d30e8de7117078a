/// The place where a persistent store goes on: its next free chunk, and the slot that its next exception takes. A pure
/// value; whoever commits keeps one, tells it what happens, and writes what follows from it.
///
/// Allocation ascends and reuses nothing, as in the kernel. In one thing it is more careful: the last slot of an area
/// is given away only where the store has room for the next area, because a full area without a successor is a store
/// that the kernel cannot load.
struct SlotCursor: Hashable, Sendable {
    /// Where things are.
    let geometry: StoreGeometry
    /// The chunk that the next exception gets, if the store reaches so far.
    private(set) var nextFree: UInt64
    /// The area that takes exceptions now.
    private(set) var area: UInt64
    /// Slots of it that are in use, 0...E. E only where a full last area was found on the device, or where a merge has
    /// gone back to a full one: nothing can be allocated then.
    private(set) var used: UInt64
    /// Exceptions that have a chunk and no slot yet.
    private(set) var inFlight: UInt64 = 0

    /// The place of a store of `used` slots in area `area` that has used the chunks below `nextFree`.
    init(
        geometry: StoreGeometry, area: UInt64 = 0, used: UInt64 = 0, nextFree: UInt64 = StoreGeometry.firstDataChunk
    ) {
        precondition(used <= geometry.exceptionsPerArea, "\(used) used slots of \(geometry.exceptionsPerArea)")
        precondition(geometry.isData(nextFree), "next free chunk \(nextFree)")
        self.geometry = geometry
        self.area = area
        self.used = used
        self.nextFree = nextFree
    }

    /// Whether a store that has so many sectors now can take one more exception.
    func canAllocate(sectors: UInt64) -> Bool {
        let chunks = geometry.chunks(in: sectors)
        guard nextFree < chunks, used < geometry.exceptionsPerArea else { return false }
        let slot = used + inFlight
        guard (slot + 1) & (geometry.exceptionsPerArea - 1) == 0 else { return true }
        // This one would fill an area: the next has to fit in as well.
        return geometry.areaChunk(area + (slot + 1) / geometry.exceptionsPerArea) < chunks
    }

    /// Gives the next chunk away; nil where the store, which has so many sectors now, is full.
    mutating func allocate(sectors: UInt64) -> UInt64? {
        guard canAllocate(sectors: sectors) else { return nil }
        defer { nextFree = geometry.dataChunk(after: nextFree) }
        inFlight += 1
        return nextFree
    }

    /// Slots that can be taken before the area is full.
    var roomInArea: UInt64 { geometry.exceptionsPerArea - used }

    /// Some of the exceptions in flight take the next slots of the area, at most `roomInArea` of them. An area that is
    /// full then is left for the next one, which must be zero on the device before the full one is written.
    mutating func place(_ count: UInt64) {
        precondition(
            count <= inFlight && count <= roomInArea, "\(count) placed, \(inFlight) in flight, \(roomInArea) slots")
        inFlight -= count
        used += count
        if used == geometry.exceptionsPerArea {
            area += 1
            used = 0
        }
    }

    /// Some of the exceptions in flight will take no slot: their chunks stay holes.
    mutating func abandon(_ count: UInt64) {
        precondition(count <= inFlight, "\(count) abandoned, \(inFlight) in flight")
        inFlight -= count
    }

    /// A merge has emptied the last `count` slots of the area. Usage is counted anew from there, as in the kernel.
    mutating func clear(_ count: UInt64) {
        precondition(count <= used && inFlight == 0, "\(count) cleared, \(used) used, \(inFlight) in flight")
        used -= count
        nextFree = geometry.areaChunk(area) + used + 1
        if geometry.isArea(nextFree) { nextFree += 1 }
    }

    /// Chunks below this one are not given away again.
    mutating func skip(to chunk: UInt64) {
        guard chunk > nextFree else { return }
        nextFree = geometry.isArea(chunk) ? chunk + 1 : chunk
    }

    /// A merge goes on to the area before, all of whose slots are in use; false where there is none.
    mutating func retreat() -> Bool {
        precondition(used == 0 && inFlight == 0, "\(used) used, \(inFlight) in flight")
        if area == 0 { return false }
        area -= 1
        used = geometry.exceptionsPerArea
        return true
    }

    /// Sectors in use, as the status line prints them: header, areas, data and holes.
    var allocatedSectors: UInt64 { nextFree << geometry.chunkShift }
    /// Sectors of header and areas, as the status line prints them.
    var metadataSectors: UInt64 { (area + 2) << geometry.chunkShift }
}
