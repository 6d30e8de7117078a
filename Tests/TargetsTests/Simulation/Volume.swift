import BlockIO
import Glibc

@testable import Targets

/// A request and what became of it.
final class PendingRequest {
    let operation: IOOperation.Kind
    let range: SectorRange
    let memory: UnsafeMutableRawPointer?
    /// When it was made and when it ended, as moments of the recording.
    let submitted: Int
    private(set) var ended: Int?
    private(set) var errno: Int32 = 0
    fileprivate var request: BlockRequest?

    fileprivate init(_ operation: IOOperation.Kind, _ range: SectorRange, tags: [UInt64]?, submitted: Int) {
        self.operation = operation
        self.range = range
        self.submitted = submitted
        let hasMemory = operation == .read || operation == .write
        memory = hasMemory ? .allocate(byteCount: Int(range.count) * 512, alignment: 4096) : nil
        if let memory, let tags { SectorTags.fill(memory, tags) }
        if operation == .read, let memory { memset(memory, 0xAA, Int(range.count) * 512) }
    }

    deinit { memory?.deallocate() }

    fileprivate func end(_ errno: Int32, at moment: Int) {
        self.errno = errno
        ended = moment
    }

    /// What was read.
    var tags: [UInt64?] { memory.map { SectorTags.tags($0, count: Int(range.count)) } ?? [] }
}

/// A mapped device and those who use it: every call waits until it has been done.
final class Volume {
    let name: String
    let device: MappedDevice
    private let lab: SnapshotLab
    /// Requests that have not ended.
    private(set) var underWay = 0
    /// What its targets have told.
    private(set) var events: [TargetEvent] = []

    init(_ name: String, lab: SnapshotLab) throws(TargetError) {
        self.name = name
        self.lab = lab
        device = try MappedDevice(name: name, host: lab.host)
        _ = device.observe { [unowned self] event in
            if case .target(let told) = event { events.append(told) }
            if case .flushFailed = event { flushFailures += 1 }
            if case .removed = event { isRemoved = true }
        }
    }

    private(set) var flushFailures = 0
    /// Whether it is no more, and its targets neither.
    private(set) var isRemoved = false
    var simulator: Simulator { lab.simulator }
    /// The words behind the type.
    var status: String { device.status().first?.text ?? "" }
    var table: String { device.table().first?.text ?? "" }
    var inactiveTable: String { device.table(.inactive).first?.text ?? "" }
    var size: UInt64 { device.sectors }
    var isSuspended: Bool { device.isSuspended || !device.info.hasLive }

    func detail(_ name: String) -> TargetDetail.Value? {
        device.status().first?.details.first { $0.name == name }?.value
    }

    func forgetEvents() { events = [] }
    func told(_ kind: TargetEvent.Kind) -> Int { events.count { $0.kind == kind } }

    // MARK: Life

    func load(_ line: String, options: TargetOptions = TargetOptions()) throws {
        let (target, range) = try lab.construct(line, options: options)
        let table = try LoadedTable([LoadedTable.Segment(range: range, target: target)])
        try finish { device.load(table, $0) }
    }

    func clear() throws { try finish { device.clear($0) } }
    func suspend(noflush: Bool = false) throws { try finish { device.suspend(noflush: noflush, $0) } }
    func resume() throws { try finish { device.resume($0) } }
    func remove() throws { try finish { device.remove($0) } }

    func message(_ words: String...) throws -> String {
        var answer: Result<String, any Error>?
        simulator.perform { answer = Result { try device.message(sector: 0, words) } }
        guard let answer else { preconditionFailure("a message without an answer") }
        return try answer.get()
    }

    private func finish(_ begin: (@escaping MappedDevice.Completion) -> Void) throws {
        var result: Result<Void, TargetError>?
        simulator.perform {
            begin { [simulator, name] in
                if result != nil { simulator.violation("an operation of \(name) ended twice") }
                result = $0
            }
        }
        try simulator.run { result != nil }
        try result?.get()
    }

    // MARK: Requests

    /// Makes a request.
    /// - Parameter tags: what the sectors of a write are full of.
    @discardableResult
    func start(
        _ operation: IOOperation.Kind, _ sector: UInt64 = 0, _ count: UInt64 = 0, tags: [UInt64]? = nil,
        isFUA: Bool = false, ended: @escaping (PendingRequest) -> Void = { _ in }
    ) -> PendingRequest {
        let recording = simulator.recording
        let pending = PendingRequest(
            operation, SectorRange(start: sector, count: count), tags: tags, submitted: recording.tick())
        underWay += 1
        let request = BlockRequest { [self] request in
            if pending.ended != nil { simulator.violation("a \(operation) of \(name) at \(sector) ended twice") }
            underWay -= 1
            pending.end(request.errno, at: recording.tick())
            pending.request = nil
            ended(pending)
        }
        request.describe(
            operation, sector: sector, count: count,
            memory: pending.memory.map { MemorySlice(address: $0, slot: -1) }, isFUA: isFUA)
        pending.request = request
        simulator.perform { device.handle(request) }
        return pending
    }

    /// Makes a request and waits for its end.
    func carryOut(
        _ operation: IOOperation.Kind, _ sector: UInt64 = 0, _ count: UInt64 = 0, tags: [UInt64]? = nil,
        isFUA: Bool = false
    ) throws -> PendingRequest {
        let pending = start(operation, sector, count, tags: tags, isFUA: isFUA)
        try simulator.run { pending.ended != nil }
        return pending
    }
}
