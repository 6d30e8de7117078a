public import SystemPackage

extension DeviceNumber {
    /// A node of the block device with this number: the link that udev makes, or, where nobody makes links, the name that
    /// the kernel gives the device (sysfs, uevent: DEVNAME).
    /// - Throws: ENXIO where there is no such device, or no node of it.
    public func node() throws(BlockError) -> FilePath {
        var candidates = [FilePath("/dev/block/\(self)")]
        let description = readText(BlockSysfs(device: self).directory.appending("uevent"), isAttribute: true)
        for line in description?.split(separator: "\n") ?? [] where line.hasPrefix("DEVNAME=") {
            candidates.append(FilePath("/dev/\(line.dropFirst("DEVNAME=".count))"))
        }
        for path in candidates {
            if let status = try? FileStatus(path: path), status.kind == .blockDevice, status.device == self {
                return path
            }
        }
        let reason = description == nil ? "there is no such device" : "there is no node of this device below /dev"
        throw BlockError("\(self)", "open", .noSuchAddressOrDevice, reason: reason)
    }
}
