/// What loading a persistent exception store has found.
struct LoadedStore {
    /// What was on the device.
    enum Condition: Hashable, Sendable {
        /// Nothing: it has been initialised, and has no exceptions.
        case new
        /// A store in use.
        case valid
        /// A store that has become invalid. Its exceptions were not read, and nobody may use them.
        case invalid
    }

    /// What was on the device.
    var condition: Condition
    /// The exceptions. It is the caller's alone.
    var table: ExceptionTable
    /// Where the store goes on; its geometry is the effective one, the header's where the store had one.
    var cursor: SlotCursor
    /// What the block in which the next slot lies has in its used slots, as it is on the device: 16 bytes each. Empty
    /// where the next slot begins a block. A block is `StoreGeometry.writeUnit` bytes.
    var tail: [UInt8]
    /// Whether there are bytes other than zero behind the used slots of that area. A power cut in the middle of an
    /// unacknowledged commit leaves such; whoever writes less than the whole area must zero the rest of it, and flush,
    /// before the first commit, because the list would grow into them.
    var hasStaleTail: Bool

    /// Where things are.
    var geometry: StoreGeometry { cursor.geometry }
    /// The effective chunk size in sectors.
    var chunkSectors: UInt64 { cursor.geometry.chunkSectors }
}
