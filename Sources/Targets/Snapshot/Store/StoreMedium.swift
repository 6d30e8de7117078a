/// Access to a store that blocks: for loading it, making a new one, and looking inside.
///
/// The seam between the store's format and real devices: tests put memory behind it.
public protocol StoreMedium: Sendable {
    /// What messages call it.
    var path: String { get }
    /// Size in sectors at this moment.
    var sectors: UInt64 { get }
    /// Smallest unit of I/O in sectors.
    var logicalBlockSectors: UInt64 { get }
    /// Fills memory with the sectors from `sector` on; its length is a multiple of the smallest unit, its alignment 4096.
    func read(sector: UInt64, into memory: UnsafeMutableRawBufferPointer) throws(TargetError)
    /// Writes memory to the sectors from `sector` on.
    func write(sector: UInt64, from memory: UnsafeRawBufferPointer) throws(TargetError)
    /// Makes durable what was written.
    func flush() throws(TargetError)
}
