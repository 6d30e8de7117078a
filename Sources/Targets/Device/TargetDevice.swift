public import BlockIO

/// An open device as targets see it. Belongs to a queue thread, but for `medium`.
///
/// The seam between targets and real devices: tests put devices made of memory behind it.
public protocol TargetDevice: AnyObject {
    /// What table and status lines print: `MAJOR:MINOR`, for an image file its path.
    var name: String { get }
    /// Which storage it is.
    var identity: DeviceIdentity { get }
    /// Size in sectors at this moment; a device may grow while it is in use.
    var sectors: UInt64 { get }
    /// Smallest unit of I/O in sectors; a power of two.
    var logicalBlockSectors: UInt64 { get }
    /// Whether it may be written to.
    var isWritable: Bool { get }
    /// Whether a discard does anything.
    var canDiscard: Bool { get }
    /// Whether it writes zeroes without being sent them.
    var canWriteZeroes: Bool { get }
    /// Access that blocks, for what is done before a target serves anybody: loading metadata. On any thread but the queue
    /// thread.
    var medium: any StoreMedium { get }

    /// Starts a transfer.
    func start(_ transfer: DeviceIO)
    /// Where data and holes are: see `BlockDevice.stretches`.
    func stretches(in range: SectorRange, alignment: UInt64, limit: Int) -> [BlockDevice.Stretch]
    /// The holder needs it no more.
    func release()
}
