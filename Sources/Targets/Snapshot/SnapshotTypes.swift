import BlockIO
import SystemPackage

/// `snapshot`.
struct SnapshotTargetType: TargetType {
    let name = "snapshot"
    let version = [1, 16, 0]

    func parse(_ line: TableLine) throws(TargetError) -> any TargetPlan { try SnapshotPlan(line, merges: false) }
}

/// `snapshot-merge`.
struct MergeTargetType: TargetType {
    let name = "snapshot-merge"
    let version = [1, 5, 0]

    func parse(_ line: TableLine) throws(TargetError) -> any TargetPlan { try SnapshotPlan(line, merges: true) }
}

/// `snapshot-origin`.
struct OriginTargetType: TargetType {
    let name = "snapshot-origin"
    let version = [1, 9, 0]

    func parse(_ line: TableLine) throws(TargetError) -> any TargetPlan {
        try line.requireAlone()
        var words = TableWords(line)
        let origin = try words.next("the origin")
        try words.end()
        return OriginPlan(line: line, origin: origin)
    }
}

extension TableLine {
    /// The snapshot family does not translate sectors: its targets make sense as the only one of their table.
    func requireAlone() throws(TargetError) {
        if range.start != 0 {
            throw fault(word: nil, "\(type) has to begin at sector 0, for it does not translate sectors")
        }
    }
}

/// A `snapshot-origin` line that has been understood.
private struct OriginPlan: TargetPlan {
    let line: TableLine
    let origin: String

    var devices: [PlannedDevice] { [PlannedDevice(origin, isWritten: true)] }

    func construct(
        _ devices: [any TargetDevice], options: TargetOptions, host: TargetHost,
        ended: @escaping (Result<any Target, TargetError>) -> Void
    ) {
        let device = devices[0]
        do throws(TargetError) {
            try line.checkFits(device)
            ended(.success(OriginTarget(device, host: host)))
        } catch {
            device.release()
            ended(.failure(error))
        }
    }
}

extension TableLine {
    /// - Throws: EINVAL where the line is longer than a device, or does not end with one of its blocks.
    func checkFits(_ device: any TargetDevice) throws(TargetError) {
        if range.count > device.sectors {
            throw TargetError(
                device.name, "use for table line \(number)", .invalidArgument,
                "it has \(device.sectors) sectors, and the line \(range.count)")
        }
        try checkBlocks(device)
    }

    /// - Throws: EINVAL where the line does not end with a block of a device.
    func checkBlocks(_ device: any TargetDevice) throws(TargetError) {
        let block = device.logicalBlockSectors
        if range.count % block != 0 {
            throw TargetError(
                device.name, "use for table line \(number)", .invalidArgument,
                "it has blocks of \(block) sectors, and the line's \(range.count) are no multiple")
        }
    }
}
