import BlockIO
import Dispatch
import Glibc
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import KCopy

/// The engines that tests run on.
enum EngineKind: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case uring
    case blocking

    var testDescription: String { rawValue }
    var choice: EngineChoice { self == .uring ? .uring : .blocking }

    /// Whether this machine lets us use io_uring.
    static let ringIsPossible: Bool = {
        guard let service = try? CopyService(engine: .uring, lanes: 1) else { return false }
        service.shutdown()
        return true
    }()

    /// Those that this machine has.
    static var available: [EngineKind] { ringIsPossible ? allCases : [.blocking] }

    func make(_ queue: DispatchQueue) throws(BlockError) -> any IOEngine {
        switch self {
        case .uring: try RingEngine(queue: queue)
        case .blocking: BlockingEngine(queue: queue)
        }
    }
}

/// A service with a client, and a directory for image files.
final class CopyFixture: Sendable {
    let directory: TemporaryDirectory
    let service: CopyService
    let client: CopyClient
    private let opened = Mutex<[BlockDevice]>([])

    /// - Parameters:
    ///   - plan: the faults that the engine has; nil for the engine as it is.
    init(
        _ engine: EngineKind, pages: Int = 2048, rate: CopyRate = .unlimited,
        completions: CompletionPlace = .onOwnQueue, plan: FaultPlan? = nil
    ) throws {
        directory = try TemporaryDirectory()
        if let plan {
            service = try CopyService { queue throws(BlockError) in FaultEngine(try engine.make(queue), plan, queue) }
        } else {
            service = try CopyService(engine: engine.choice, lanes: 1)
        }
        client = try CopyClient(service: service, pages: pages, rate: rate, completions: completions)
    }

    deinit {
        client.destroy()
        for device in opened.withLock({ $0 }) { device.close() }
        // A test that has failed may have left clients, and then the service cannot end: it has to be the only thing that fails.
        if client.lane.queue.sync(execute: { client.lane.members.count }) == 0 { service.shutdown() }
    }

    /// An image file with this content.
    func image(_ name: String, _ contents: [UInt8], access: BlockDevice.Access = .readWrite) throws -> BlockDevice {
        try open(try directory.image(name, contents: contents), access)
    }

    /// An image file that is one hole.
    func hole(_ name: String, bytes: Int, access: BlockDevice.Access = .readWrite) throws -> BlockDevice {
        try open(try directory.image(name, bytes: UInt64(bytes)), access)
    }

    /// A device, closed with the fixture.
    func open(_ path: String, _ access: BlockDevice.Access = .readWrite) throws -> BlockDevice {
        let device = try BlockDevice.open(FilePath(path), access: access, claim: false)
        opened.withLock { $0.append(device) }
        return device
    }

    /// Pages of the client's budget that are free, as the lane counts them.
    var freePages: Int? {
        client.lane.queue.sync {
            let index = client.laneIndex.load(ordering: .relaxed)
            return index < 0 ? nil : client.lane.scheduler.clients[index].budget.free
        }
    }
}

extension CopyClient {
    /// Copies and waits for the result.
    func copied(
        from source: IORegion, to destinations: [IORegion], flags: CopyFlags = [], overlay: CopyOverlay? = nil,
        started: (CopyJob) -> Void = { _ in }
    ) async throws -> CopyResult {
        let box = ResultBox()
        started(try copy(from: source, to: destinations, flags: flags, overlay: overlay) { box.set($0) })
        return await box.value
    }

    /// Zeroes and waits for the result.
    func zeroed(_ regions: [IORegion], flags: CopyFlags = []) async throws -> CopyResult {
        let box = ResultBox()
        try zero(regions, flags: flags) { box.set($0) }
        return await box.value
    }
}

/// A result that is awaited by one task, and given once.
final class ResultBox: Sendable {
    private enum State {
        case empty
        case awaited(CheckedContinuation<CopyResult, Never>)
        case full(CopyResult)
    }
    private let state = Mutex(State.empty)

    func set(_ result: CopyResult) {
        let waiting: CheckedContinuation<CopyResult, Never>? = state.withLock { state in
            defer { state = .full(result) }
            switch state {
            case .empty: return nil
            case .awaited(let continuation): return continuation
            case .full:
                Issue.record("a second result: \(result)")
                return nil
            }
        }
        waiting?.resume(returning: result)
    }

    /// Whether it was given.
    var isSet: Bool {
        state.withLock { state in
            if case .full = state { true } else { false }
        }
    }

    var value: CopyResult {
        get async {
            await withCheckedContinuation { continuation in
                let result: CopyResult? = state.withLock { state in
                    if case .full(let result) = state { return result }
                    state = .awaited(continuation)
                    return nil
                }
                if let result { continuation.resume(returning: result) }
            }
        }
    }
}

/// Compares what a device holds with what it should; names the first byte that differs.
func expectContent(_ device: BlockDevice, _ expected: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) throws
{
    let found = try Bytes.read(device.path, count: expected.count)
    #expect(
        Bytes.difference(found, expected) == nil, "the first byte of \(device.path) that differs",
        sourceLocation: sourceLocation)
}

extension Array where Element == UInt8 {
    /// With some sectors replaced by those of another array.
    func replacing(sector: Int, count: Int, from other: [UInt8], sector from: Int) -> [UInt8] {
        Bytes.replacing(self, sector: sector, count: count, from: other, sector: from)
    }

    /// With zeroes in some sectors.
    func zeroing(_ sectors: Range<Int>) -> [UInt8] {
        Bytes.replacing(self, sector: sectors.lowerBound, count: sectors.count, from: nil)
    }
}
