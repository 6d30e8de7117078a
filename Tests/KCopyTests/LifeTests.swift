import BlockIO
import Dispatch
import Glibc
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import KCopy

@Suite("Cancelling")
struct CancelTests {
    private static let sectors = 16384
    private static let contents = Bytes.random(sectors * 512, seed: 1)
    private static let before = Bytes.random(sectors * 512, seed: 2)

    private func expectPrefix(_ device: BlockDevice, _ result: CopyResult) throws {
        let found = try Bytes.read(device.path, count: Self.contents.count)
        #expect(Bytes.agree(found, Self.contents, in: 0..<Int(result.resumeAt) * 512))
        #expect(result.copied >= result.resumeAt)
        #expect(result.copied < UInt64(Self.sectors))
    }

    @Test(
        "a slow job stops it, says where, and leaves everything before that copied", arguments: EngineKind.available,
        [[], .sequential] as [CopyFlags])
    func slow(engine: EngineKind, flags: CopyFlags) async throws {
        let plan = FaultPlan()
        let fixture = try CopyFixture(engine, pages: 64, rate: CopyRate(bytesPerSecond: 2 << 20), plan: plan)
        let writes = Atomic<Int>(0)
        plan.set { [client = fixture.client] access in
            if access.kind == .write, writes.add(1, ordering: .relaxed).newValue == 5 { client.cancelAll() }
            return nil
        }
        defer { plan.set { _ in nil } }
        let source = try fixture.image("source", Self.contents)
        let destination = try fixture.image("destination", Self.before)
        let box = ResultBox()
        let job = try fixture.client.copy(
            from: IORegion(whole: source), to: [IORegion(whole: destination)], flags: flags
        ) { box.set($0) }
        let result = await box.value
        #expect(result.isCancelled && !result.readError && result.writeErrors == 0 && result.faults == [])
        #expect(result.resumeAt >= 4 * 128)
        try expectPrefix(destination, result)
        #expect(fixture.freePages == 64)
        #expect(job.progress == CopyProgress(done: result.copied, total: UInt64(Self.sectors)))

        fixture.client.setRate(.unlimited)
        let rest = UInt64(Self.sectors) - result.resumeAt
        let resumed = try await fixture.client.copied(
            from: IORegion(source, sector: result.resumeAt, count: rest),
            to: [IORegion(destination, sector: result.resumeAt, count: rest)])
        #expect(resumed == .success(Int(rest)))
        try expectContent(destination, Self.contents)
    }

    @Test("waits for what is under way", arguments: EngineKind.available)
    func underWay(engine: EngineKind) async throws {
        let plan = FaultPlan { $0.kind == .write ? .held : nil }
        let fixture = try CopyFixture(engine, pages: 64, plan: plan)
        let source = try fixture.image("source", Self.contents)
        let destinations = try (0..<2).map { try fixture.image("destination \($0)", Self.before) }
        let box = ResultBox()
        let job = try fixture.client.copy(from: IORegion(whole: source), to: destinations.map { IORegion(whole: $0) }) {
            box.set($0)
        }
        await plan.until(.write, count: 8)
        job.cancel()
        await fixture.service.answered()
        #expect(!box.isSet)
        plan.heal()
        let result = await box.value
        #expect(result.isCancelled && result.copied == 4 * 128 && result.resumeAt == 4 * 128)
        for destination in destinations {
            try expectContent(destination, Self.before.replacing(sector: 0, count: 512, from: Self.contents, sector: 0))
        }
        #expect(fixture.freePages == 64)
    }

    @Test("a job that has claimed everything, or has ended, changes nothing", arguments: EngineKind.available)
    func tooLate(engine: EngineKind) async throws {
        let plan = FaultPlan { $0.kind == .write ? .held : nil }
        let fixture = try CopyFixture(engine, plan: plan)
        let source = try fixture.image("source", Self.contents)
        let destination = try fixture.image("destination", Self.before)
        let box = ResultBox()
        let job = try fixture.client.copy(
            from: IORegion(source, sector: 0, count: 8), to: [IORegion(destination, sector: 0, count: 8)]
        ) { box.set($0) }
        await plan.until(.write, count: 1)
        job.cancel()
        await fixture.service.answered()
        plan.heal()
        #expect(await box.value == .success(8))
        for _ in 0..<3 { job.cancel() }
        // A number that the lane uses again must not be hit.
        let next = try await fixture.client.copied(
            from: IORegion(source, sector: 0, count: 8), to: [IORegion(destination, sector: 8, count: 8)],
            started: { _ in job.cancel() })
        #expect(next == .success(8))
    }

    @Test("every job of a client leaves the jobs of others alone", arguments: EngineKind.available)
    func all(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine, rate: CopyRate(bytesPerSecond: 0))
        let source = try fixture.image("source", Self.contents)
        let destination = try fixture.image("destination", Self.before)
        let boxes = (0..<10).map { _ in ResultBox() }
        for (index, box) in boxes.enumerated() {
            try fixture.client.copy(
                from: IORegion(source, sector: 0, count: 8),
                to: [IORegion(destination, sector: UInt64(index * 8), count: 8)]
            ) { box.set($0) }
        }
        let other = try CopyClient(service: fixture.service, pages: 1)
        fixture.client.cancelAll()
        for box in boxes {
            let result = await box.value
            #expect(result.isCancelled && result.copied == 0)
        }
        #expect(
            try await other.copied(
                from: IORegion(source, sector: 0, count: 8), to: [IORegion(destination, sector: 800, count: 8)])
                == .success(8))
        other.destroy()
        try expectContent(destination, Self.before.replacing(sector: 800, count: 8, from: Self.contents, sector: 0))
    }
}

@Suite("A rate")
struct RateTests {
    private static let contents = Bytes.random(4 << 20, seed: 1)

    @Test(
        "of nothing holds jobs until it is raised", arguments: EngineKind.available,
        [CopyRate(bytesPerSecond: 0), CopyRate(percent: 0)])
    func held(engine: EngineKind, rate: CopyRate) async throws {
        let plan = FaultPlan()
        let fixture = try CopyFixture(engine, rate: rate, plan: plan)
        let source = try fixture.image("source", Self.contents)
        let destination = try fixture.hole("destination", bytes: 4 << 20)
        let box = ResultBox()
        let job = try fixture.client.copy(from: IORegion(whole: source), to: [IORegion(whole: destination)]) {
            box.set($0)
        }
        for _ in 0..<10 { await fixture.service.answered() }
        #expect(plan.log == [])
        #expect(job.progress.done == 0)
        #expect(!box.isSet)
        fixture.client.setRate(.unlimited)
        #expect(fixture.client.rate == .unlimited)
        #expect(await box.value == .success(8192))
        try expectContent(destination, Self.contents)
    }

    @Test("that is changed while a job runs holds from then on", arguments: EngineKind.available)
    func changed(engine: EngineKind) async throws {
        let plan = FaultPlan()
        let fixture = try CopyFixture(engine, pages: 64, rate: CopyRate(bytesPerSecond: 1), plan: plan)
        let source = try fixture.image("source", Self.contents)
        let destination = try fixture.hole("destination", bytes: 4 << 20)
        let box = ResultBox()
        try fixture.client.copy(from: IORegion(whole: source), to: [IORegion(whole: destination)]) { box.set($0) }
        await plan.until(.read, count: 1)
        fixture.client.setRate(CopyRate(percent: 0))
        await fixture.service.answered()
        fixture.client.setRate(CopyRate(bytesPerSecond: 200 << 20, percent: 90))
        #expect(await box.value == .success(8192))
        try expectContent(destination, Self.contents)
    }

    @Test("that holds one client does not hold another", arguments: EngineKind.available)
    func others(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine, rate: CopyRate(bytesPerSecond: 0))
        let source = try fixture.image("source", Self.contents)
        let destination = try fixture.hole("destination", bytes: 4 << 20)
        let box = ResultBox()
        try fixture.client.copy(
            from: IORegion(source, sector: 0, count: 8), to: [IORegion(destination, sector: 0, count: 8)]
        ) { box.set($0) }
        let other = try CopyClient(service: fixture.service, pages: 16)
        #expect(
            try await other.copied(
                from: IORegion(source, sector: 8, count: 4096), to: [IORegion(destination, sector: 8, count: 4096)])
                == .success(4096))
        other.destroy()
        #expect(!box.isSet)
    }
}

extension CopyService {
    /// Waits until every lane has answered.
    func answered() async {
        await withCheckedContinuation { continuation in ping { continuation.resume() } }
    }
}
