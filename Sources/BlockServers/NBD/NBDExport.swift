import BlockIO

/// What clients are told of an export when they connect.
struct NBDExport {
    /// Its name; the empty name means it as well.
    var name: String
    /// Size in bytes.
    var bytes: UInt64
    /// What it can do, whatever is negotiated.
    var flags: NBDTransmissionFlags
    /// What positions and lengths of requests are multiples of, in bytes.
    var minimumBlock: UInt32
    /// The length that is best for it, in bytes.
    var preferredBlock: UInt32

    /// What a device is at this moment.
    init(name: String, device: any ServedDevice) {
        self.name = name
        bytes = device.sectors << UInt64(Sector.shift)
        // One device behind all connections: a flush covers what was answered on any of them.
        flags = [.hasFlags, .sendFlush, .sendFUA, .canMultiConn, .sendCache]
        if device.isReadOnly {
            flags.insert(.readOnly)
        } else {
            flags.insert(.sendWriteZeroes)
            flags.insert(.sendFastZero)
            if device.canDiscard { flags.insert(.sendTrim) }
        }
        let minimum = min(device.logicalBlockSectors, Self.mostMinimum) << UInt64(Sector.shift)
        let preferred = min(max(device.preferredSectors << UInt64(Sector.shift), minimum), UInt64(NBDSize.payload))
        minimumBlock = UInt32(minimum)
        preferredBlock = UInt32(preferred)
    }

    /// The protocol allows minima of up to 64 KiB.
    private static let mostMinimum = UInt64(64 << 10) >> UInt64(Sector.shift)

    /// Whether a client that asks for this name means it.
    func answers(to name: UnsafeRawBufferPointer) -> Bool {
        name.isEmpty || name.elementsEqual(self.name.utf8)
    }
}
