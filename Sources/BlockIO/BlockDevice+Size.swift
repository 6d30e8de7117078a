import CLinux
import SystemPackage

extension BlockDevice {
    /// Size in sectors at this moment; `sectors` is what it was when the device was opened. Image files and logical volumes
    /// grow while they are in use. The device has to be open.
    /// - Throws: what the system answers.
    public func currentSectors() throws(BlockError) -> UInt64 {
        switch kind {
        case .imageFile: return try FileStatus(of: descriptor, path: path).size >> UInt64(Sector.shift)
        case .blockDevice:
            var bytes: UInt64 = 0
            try check(clinux_blkgetsize64(descriptor.rawValue, &bytes), path, "read the size")
            return bytes >> UInt64(Sector.shift)
        }
    }
}
