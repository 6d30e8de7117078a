public import BlockIO

/// A real device on a queue thread.
public final class ThreadDevice: TargetDevice {
    private let pooled: PooledDevice
    private let thread: QueueThread

    /// The device, which is this object's now, for targets of a thread.
    public init(_ pooled: PooledDevice, thread: QueueThread) {
        self.pooled = pooled
        self.thread = thread
    }

    /// What the copy service is told.
    var device: BlockDevice { pooled.device }

    public var name: String { pooled.name }
    public var identity: DeviceIdentity { device.identity }
    /// Asked anew; what it was when the device was opened where the system does not tell any more.
    public var sectors: UInt64 { (try? device.currentSectors()) ?? device.sectors }
    public var logicalBlockSectors: UInt64 { device.geometry.blockSectors }
    public var isWritable: Bool { device.isWritable }
    public var canDiscard: Bool { device.geometry.canDiscard }
    public var canWriteZeroes: Bool { device.geometry.canWriteZeroes }
    public var medium: any StoreMedium { BlockDeviceMedium(device) }

    public func start(_ transfer: DeviceIO) { thread.start(transfer, on: device) }

    public func stretches(in range: SectorRange, alignment: UInt64, limit: Int) -> [BlockDevice.Stretch] {
        device.stretches(in: range, alignment: alignment, limit: limit)
    }

    public func release() { pooled.release() }
}
