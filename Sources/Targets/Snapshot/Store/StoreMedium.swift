public import BlockIO

/// A device that holds an exception store, as loading, initialising, checking and repairing see it: whole transfers, one
/// after the other, on the caller's thread. I/O while a snapshot is in use goes another way.
public protocol StoreMedium: AnyObject, Sendable {
    /// What messages call it.
    var name: String { get }
    /// Its size in sectors now; it may grow.
    var sectors: UInt64 { get throws(BlockError) }
    /// Its logical block in sectors: positions and lengths of all transfers are multiples of it.
    var logicalBlockSectors: UInt64 { get }

    /// Fills each stretch of memory with what the device holds from its sector on.
    /// - Throws: the first failed transfer's error; the memory is then undefined.
    func read(_ stretches: [StoreStretch]) throws(BlockError)
    /// Writes all of the memory from a sector on.
    func write(_ sector: UInt64, from memory: UnsafeRawBufferPointer) throws(BlockError)
    /// Makes everything durable that was written.
    func flush() throws(BlockError)
}

extension StoreMedium {
    /// Fills memory with what the device holds from a sector on.
    public func read(_ sector: UInt64, into memory: UnsafeMutableRawBufferPointer) throws(BlockError) {
        try read([StoreStretch(sector: sector, memory: memory)])
    }
}

/// A stretch of a device and the memory for what it holds; the memory is aligned to 4096 bytes.
public struct StoreStretch {
    /// The first sector.
    public var sector: UInt64
    /// As many bytes as are to be read.
    public var memory: UnsafeMutableRawBufferPointer

    /// Memory for the sectors from `sector` on.
    public init(sector: UInt64, memory: UnsafeMutableRawBufferPointer) {
        self.sector = sector
        self.memory = memory
    }
}
