import Dispatch
import SystemPackage
import TestSupport
import Testing

@testable import BlockIO
@testable import KCopy

/// An engine whose every operation takes a while, and that does nothing else.
private final class SlowEngine: IOEngine, @unchecked Sendable {  // all state belongs to `queue`
    private let queue: DispatchQueue
    private let time: DispatchTimeInterval
    private var chain: [(tag: UInt64, length: Int)] = []
    private var done: [RawCompletion] = []

    let depth = 64
    var onCompletions: ((UnsafeBufferPointer<RawCompletion>) -> Void)?
    var onReady: (() -> Void)?

    init(_ queue: DispatchQueue, _ time: DispatchTimeInterval) {
        self.queue = queue
        self.time = time
    }

    func attach(_ device: BlockDevice) -> AttachedDevice { AttachedDevice(descriptor: -1, slot: -1) }
    func detach(_ device: AttachedDevice) {}
    func attach(_ memory: PageMemory) -> Int32 { -1 }
    func detach(memorySlot: Int32) {}
    func submit() {}
    func wait(count: Int, nanoseconds: UInt64) -> Bool { false }
    func interrupt() {}
    func shutdown() {}

    func prepare(_ operation: IOOperation, tag: UInt64, linked: Bool) {
        chain.append((tag, operation.memory == nil ? 0 : operation.length))
        guard !linked else { return }
        let ended = chain
        chain = []
        queue.asyncAfter(deadline: .now() + time) { [self] in
            done += ended.map { RawCompletion(tag: $0.tag, result: Int32($0.length)) }
            onReady?()
        }
    }

    func takeCompletions() -> Bool {
        guard !done.isEmpty else { return false }
        let batch = done
        done = []
        batch.withUnsafeBufferPointer { onCompletions?($0) }
        return true
    }
}

@Suite("Destinations with zones")
struct ZonedTests {
    @Test("are written in ascending order, whatever was asked for", arguments: [true, false])
    func sequential(isZoned: Bool) throws {
        let directory = try TemporaryDirectory()
        let file = try BlockDevice.open(
            FilePath(try directory.image("a", bytes: 1 << 20)), access: .readWrite, claim: false)
        var geometry = file.geometry
        geometry.isZoned = isZoned
        let device = BlockDevice(
            path: "zoned", kind: .blockDevice, access: .readWrite, geometry: geometry, identity: file.identity,
            descriptor: try file.descriptor.duplicate(), claim: nil)
        let service = try CopyService(engine: .blocking, lanes: 1)
        let client = try CopyClient(service: service, pages: 1)
        let job = try client.zero([IORegion(whole: device)], flags: [.ignoreErrors]) { _ in }
        #expect(job.flags.contains(.sequential) == isZoned)
        client.destroy()
        file.close()
        device.close()
        service.shutdown()
    }
}

@Suite("A lane's throttle")
struct LaneThrottleTests {
    @Test("A share of the time holds for pieces that follow one another", arguments: [1, 16])
    func share(pages: Int) async throws {
        let directory = try TemporaryDirectory()
        let paths = try ["a", "b"].map { try directory.image($0, bytes: 1 << 20) }
        let service = try CopyService(engine: { SlowEngine($0, .milliseconds(4)) })
        let client = try CopyClient(service: service, pages: pages, rate: CopyRate(percent: 10))
        let source = try BlockDevice.open(.init(paths[0]), access: .readOnly, claim: false)
        let destination = try BlockDevice.open(.init(paths[1]), access: .readWrite, claim: false)
        let sectors = UInt64(25 * max(pages / 4, 1) * Sector.perPage)
        let start = DispatchTime.now().uptimeNanoseconds
        let result = try await withCheckedThrowingContinuation { continuation in
            do {
                try client.copy(
                    from: IORegion(source, sector: 0, count: sectors),
                    to: [IORegion(destination, sector: 0, count: sectors)]
                ) { continuation.resume(returning: $0) }
            } catch {
                continuation.resume(throwing: error)
            }
        }
        let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) / 1e9
        #expect(result.isSuccess)
        // 25 pieces of 4 ms, at most 4 at a time, in a tenth of the time.
        #expect(seconds > (pages == 1 ? 0.6 : 0.15), "\(seconds) s")
        client.destroy()
        source.close()
        destination.close()
        service.shutdown()
    }
}
