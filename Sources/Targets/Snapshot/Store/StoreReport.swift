/// What an inspection of a persistent exception store has found. Sectors are of 512 bytes.
public struct StoreReport: Hashable, Sendable {
    /// What the device holds.
    public enum Condition: String, Hashable, Sendable {
        /// Nothing: the first four bytes are zero. A snapshot would initialise it.
        case new
        /// A store in use.
        case valid
        /// A store that has become invalid; its exceptions are lost, and were not looked at.
        case invalid
        /// No store, or one whose header cannot be understood.
        case unreadable
    }

    /// The fields of the header, as they are on the device.
    public struct Header: Hashable, Sendable {
        /// 0x70416e53 ("SnAp"), or 0 on a new device.
        public var magic: UInt32
        /// 0 for an invalid store; anything else is valid.
        public var valid: UInt32
        /// 1.
        public var version: UInt32
        /// The chunk size in sectors.
        public var chunkSectors: UInt32
    }

    /// An area of the list.
    public struct Area: Hashable, Sendable {
        /// Its number, from 0.
        public var index: UInt64
        /// The chunk that it is.
        public var chunk: UInt64
        /// Its first sector.
        public var sector: UInt64
        /// Slots in use, up to `slots`.
        public var used: UInt64
        /// Slots in all.
        public var slots: UInt64
    }

    /// What messages call the device.
    public var device: String
    /// What it holds.
    public var condition: Condition
    /// The header's fields.
    public var header: Header
    /// Size of the device in sectors: the total of the status line.
    public var totalSectors: UInt64
    /// Chunk size in sectors; nil where the header names none that could be one.
    public var chunkSectors: UInt64?
    /// The areas of the list, in order, up to the one where it ends.
    public var areas: [Area] = []
    /// Exceptions in the list.
    public var exceptions: UInt64 = 0
    /// Sectors in use, as the status line prints them: header, areas, data and holes. Chunks that cannot be meant are
    /// not counted. 0 where there is no list.
    public var allocatedSectors: UInt64 = 0
    /// Sectors of header and areas, as the status line prints them. 0 where there is no list.
    public var metadataSectors: UInt64 = 0
    /// Everything that is wrong, the header first, then by place.
    public var faults: [StoreFault] = []

    /// Whether a snapshot would load the store.
    public var isLoadable: Bool { !faults.contains { $0.preventsLoading } }
}

/// An exception of a store, and where it is.
public struct StoredException: Hashable, Sendable {
    /// The number of its area, from 0.
    public var area: UInt64
    /// The number of its slot in the area, from 0.
    public var slot: UInt64
    /// The chunk of the origin.
    public var oldChunk: UInt64
    /// The chunk of the store.
    public var newChunk: UInt64
}

/// What a repair has done.
public struct StoreRepair: Hashable, Sendable {
    /// Entries that were taken off the end of the list: they named chunks that cannot be meant.
    public var droppedExceptions: UInt64
    /// Exceptions that are left.
    public var exceptions: UInt64
    /// Bytes that were zeroed, from the new end of the list to the end of its area; 0 where nothing had to be done.
    public var clearedBytes: UInt64
}
