import SystemPackage

/// Finds out who holds a block device, for the message that refuses to write to it.
enum DeviceHolder {
    /// "mounted on /home", "in use as swap", "held by dm-3": nil where the system does not tell.
    static func describe(_ device: DeviceNumber) -> String? {
        let sysfs = BlockSysfs(device: device)
        let devices = [device] + sysfs.partitions
        if let point = mountPoint(of: devices) { return "mounted on \(point)" }
        for device in devices {
            let holders = BlockSysfs(device: device).holders
            if !holders.isEmpty { return "held by \(holders.joined(separator: ", "))" }
        }
        return swapPath(of: devices).map { "in use as swap (\($0))" }
    }

    /// The loop device that is built on a file, if there is one.
    static func loop(over file: FileStatus) -> String? {
        directoryEntries("/sys/block").first { name in
            guard name.hasPrefix("loop"), let backing = BlockSysfs(name: name).backing else { return false }
            return backing.file.fileSystem == file.fileSystem && backing.file.inode == file.inode
        }.map { "/dev/\($0)" }
    }

    /// proc(5), /proc/PID/mountinfo: the third field is `major:minor`, the fifth the mount point.
    private static func mountPoint(of devices: [DeviceNumber]) -> String? {
        guard let table = readText("/proc/self/mountinfo") else { return nil }
        for line in table.split(separator: "\n") {
            let fields = line.split(separator: " ", maxSplits: 5)
            guard fields.count > 5, let device = DeviceNumber(fields[2]), devices.contains(device) else { continue }
            return String(fields[4])
        }
        return nil
    }

    /// proc(5), /proc/swaps: the first field is the path, below a heading.
    private static func swapPath(of devices: [DeviceNumber]) -> String? {
        guard let table = readText("/proc/swaps") else { return nil }
        for line in table.split(separator: "\n").dropFirst() {
            guard let path = line.split(whereSeparator: \.isWhitespace).first,
                let status = try? FileStatus(path: FilePath(String(path))),
                status.kind == .blockDevice, devices.contains(status.device)
            else { continue }
            return String(path)
        }
        return nil
    }
}
