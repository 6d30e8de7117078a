import BlockIO
import SystemPackage

@testable import Targets

/// Simulated disks, and the mapped devices on them.
final class SnapshotLab {
    private static let types = TargetRegistry.all

    let simulator: Simulator
    let host: TargetHost
    private(set) var disks: [SimulatedDisk] = []

    init(seed: UInt64) {
        simulator = Simulator(seed: seed)
        host = TargetHost(environment: simulator)
    }

    /// A disk of zeroes, or of `content`.
    func disk(_ name: String, sectors: UInt64) -> SimulatedDisk {
        disk(name, content: [UInt8](repeating: 0, count: Int(sectors) * 512))
    }

    func disk(_ name: String, content: [UInt8]) -> SimulatedDisk {
        let disk = SimulatedDisk(simulator, name, number: disks.count, content: content)
        disks.append(disk)
        return disk
    }

    /// Makes a target of a table line, as the daemon does: words, plan, devices, target.
    func construct(_ line: String, options: TargetOptions) throws -> (any Target, SectorRange) {
        let words = line.split(separator: " ").map(String.init)
        guard words.count >= 3, let start = UInt64(words[0]), let count = UInt64(words[1]) else {
            throw TargetError("table line", "parse", .invalidArgument, line)
        }
        let range = SectorRange(start: start, count: count)
        let plan = try Self.types.parse(TableLine(range: range, type: words[2], words: Array(words[3...])))
        var handles: [any TargetDevice] = []
        for device in plan.devices {
            guard let disk = disks.first(where: { $0.name == device.path }) else {
                throw TargetError(device.path, "open", .noSuchFileOrDirectory, "there is no such disk")
            }
            handles.append(disk.open(writing: device.isWritten))
        }
        var result: Result<any Target, TargetError>?
        simulator.perform {
            plan.construct(handles, options: options, host: host) { [simulator] in
                if result != nil { simulator.violation("a target was constructed twice") }
                result = $0
            }
        }
        try simulator.run { result != nil }
        guard let result else { preconditionFailure("no result of a construction") }
        return (try result.get(), range)
    }
}
