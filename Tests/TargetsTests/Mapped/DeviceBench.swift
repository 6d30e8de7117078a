import BlockIO
import SystemPackage
import Testing

@testable import Targets

/// A mapped device on targets that hold its requests, and those who use it.
final class DeviceBench {
    let log = CallLog()
    let environment = StillEnvironment()
    let host: TargetHost
    let device: MappedDevice
    private var memory: [UnsafeMutableRawPointer] = []
    private var requests: [PendingIO] = []

    init(isReadOnly: Bool = false) throws {
        host = TargetHost(environment: environment)
        device = try MappedDevice(name: "bench", isReadOnly: isReadOnly, host: host)
    }

    deinit { for memory in memory { memory.deallocate() } }

    /// A table of targets, one after the other.
    func table(_ targets: HeldTarget..., isReadOnly: Bool = false) throws -> LoadedTable {
        try LoadedTable(
            targets.map { LoadedTable.Segment(range: $0.range, target: $0) }, isReadOnly: isReadOnly)
    }

    func target(_ label: String, sectors: UInt64, start: UInt64 = 0) -> HeldTarget {
        HeldTarget(label, sectors: sectors, start: start, log: log)
    }

    /// Loads a table.
    func load(_ table: LoadedTable) -> Outcome { Outcome { device.load(table, $0) } }

    /// Loads a table and resumes it.
    func activate(_ table: LoadedTable, sourceLocation: SourceLocation = #_sourceLocation) {
        let load = Outcome { device.load(table, $0) }
        let resume = Outcome { device.resume(noflush: true, $0) }
        #expect(load.isSuccess && resume.isSuccess, sourceLocation: sourceLocation)
        log.calls = []
    }

    /// A request that says when it has ended.
    func request(
        _ operation: IOOperation.Kind, _ sector: UInt64 = 0, _ count: UInt64 = 0, data: [UInt8]? = nil,
        isFUA: Bool = false, mayUnmap: Bool = true
    ) -> PendingIO {
        var slice: MemorySlice?
        if operation == .read || operation == .write {
            let address = UnsafeMutableRawPointer.allocate(
                byteCount: Int(max(count, 1)) << Sector.shift, alignment: 4096)
            memory.append(address)
            if let data { address.copyMemory(from: data, byteCount: data.count) }
            slice = MemorySlice(address: address, slot: -1)
        }
        let pending = PendingIO(operation, sector, count, slice, isFUA: isFUA, mayUnmap: mayUnmap)
        requests.append(pending)
        return pending
    }

    /// Makes a request of the device.
    @discardableResult
    func submit(
        _ operation: IOOperation.Kind, _ sector: UInt64 = 0, _ count: UInt64 = 0, data: [UInt8]? = nil,
        isFUA: Bool = false, mayUnmap: Bool = true
    ) -> PendingIO {
        let pending = request(operation, sector, count, data: data, isFUA: isFUA, mayUnmap: mayUnmap)
        device.handle(pending.request)
        return pending
    }
}

/// A request and what became of it.
final class PendingIO {
    let request: BlockRequest
    /// How often it has ended, and with what.
    var ends: [Int32] = []

    init(
        _ operation: IOOperation.Kind, _ sector: UInt64, _ count: UInt64, _ memory: MemorySlice?, isFUA: Bool,
        mayUnmap: Bool
    ) {
        request = BlockRequest { _ in }
        request.describe(operation, sector: sector, count: count, memory: memory, isFUA: isFUA)
        request.mayUnmap = mayUnmap
        request.ended = { [unowned self] request in self.ends.append(request.errno) }
    }

    /// What its memory holds.
    var bytes: [UInt8] {
        guard let address = request.memory?.address else { return [] }
        return [UInt8](UnsafeRawBufferPointer(start: address, count: Int(request.count) << Sector.shift))
    }
}

/// What an operation of a mapped device has called back with.
final class Outcome {
    var results: [Result<Void, TargetError>] = []

    init(_ operation: (@escaping MappedDevice.Completion) -> Void) {
        operation { self.results.append($0) }
    }

    var isPending: Bool { results.isEmpty }
    var isSuccess: Bool {
        guard results.count == 1, case .success = results[0] else { return false }
        return true
    }
    var error: TargetError? {
        guard results.count == 1, case .failure(let error) = results[0] else { return nil }
        return error
    }
}
