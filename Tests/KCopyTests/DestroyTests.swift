import BlockIO
import Dispatch
import Glibc
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import KCopy

/// Destroys a client on a thread of its own and waits for that.
private func destroyed(_ client: CopyClient) async {
    await withCheckedContinuation { continuation in
        DispatchQueue.global().async {
            client.destroy()
            continuation.resume()
        }
    }
}

@Suite("Destroying a client")
struct DestroyTests {
    private static let contents = Bytes.random(1 << 20, seed: 1)

    private func devices(_ fixture: CopyFixture) throws -> (IORegion, IORegion) {
        (
            IORegion(whole: try fixture.image("source", Self.contents)),
            IORegion(whole: try fixture.hole("destination", bytes: 1 << 20))
        )
    }

    @Test("waits until the last completion has returned", arguments: EngineKind.available, CompletionPlace.allCases)
    func waits(engine: EngineKind, place: CompletionPlace) async throws {
        let plan = FaultPlan { $0.kind == .write ? .held : nil }
        let fixture = try CopyFixture(engine, completions: place, plan: plan)
        let (source, destination) = try devices(fixture)
        let events = Mutex<[String]>([])
        let entered = DispatchSemaphore(value: 0)
        let leave = DispatchSemaphore(value: 0)
        try fixture.client.copy(from: source, to: [destination]) { result in
            #expect(result == .success(2048))
            entered.signal()
            leave.wait()
            events.withLock { $0.append("completed") }
        }
        await plan.until(.write, count: 1)
        async let end: Void = {
            await destroyed(fixture.client)
            events.withLock { $0.append("destroyed") }
        }()
        await fixture.service.answered()
        #expect(events.withLock { $0 } == [])
        plan.heal()
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                entered.wait()
                continuation.resume()
            }
        }
        #expect(events.withLock { $0 } == [])
        leave.signal()
        await end
        #expect(events.withLock { $0 } == ["completed", "destroyed"])
        try expectContent(destination.device, Self.contents)
    }

    @Test("lifts a rate that holds its jobs", arguments: EngineKind.available)
    func held(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine, rate: CopyRate(percent: 0))
        let (source, destination) = try devices(fixture)
        let box = ResultBox()
        try fixture.client.copy(from: source, to: [destination]) { box.set($0) }
        await destroyed(fixture.client)
        #expect(box.isSet)
        #expect(await box.value == .success(2048))
    }

    @Test("is not held up by a rate that is set at the same time", arguments: EngineKind.available)
    func racingRate(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine)
        let (source, destination) = try devices(fixture)
        for _ in 0..<15 {
            let client = try CopyClient(service: fixture.service, pages: 64, rate: CopyRate(percent: 0))
            try client.copy(from: source, to: [destination]) { _ in }
            let setters = DispatchGroup()
            for _ in 0..<3 {
                DispatchQueue.global().async(group: setters) {
                    for _ in 0..<3000 where client.rate != .unlimited { client.setRate(CopyRate(percent: 0)) }
                }
            }
            await destroyed(client)
            await withCheckedContinuation { continuation in setters.notify(queue: .global()) { continuation.resume() } }
        }
    }

    @Test(
        "by a completion of its own returns at once and happens nevertheless", arguments: EngineKind.available,
        CompletionPlace.allCases)
    func fromCompletion(engine: EngineKind, place: CompletionPlace) async throws {
        let fixture = try CopyFixture(engine)
        let (source, destination) = try devices(fixture)
        for _ in 0..<50 {
            let client = try CopyClient(service: fixture.service, pages: 16, completions: place)
            let box = ResultBox()
            try client.copy(from: source, to: [destination]) { result in
                client.destroy()
                #expect(throws: CopyError.self) { try client.copy(from: source, to: [destination]) { _ in } }
                box.set(result)
            }
            #expect(await box.value == .success(2048))
            // A second call waits for what the first has begun.
            await destroyed(client)
            #expect(fixture.client.lane.queue.sync { fixture.client.lane.members.count } == 1)
        }
    }

    @Test("by completions on two lanes, each of the other's client, ends both", arguments: EngineKind.available)
    func crosswise(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine)
        let source = IORegion(whole: try fixture.image("source", Self.contents))
        let destinations = try (0..<2).map { IORegion(whole: try fixture.hole("\($0)", bytes: 1 << 20)) }
        let service = try CopyService(engine: engine.choice, lanes: 2)
        let clients = try (0..<2).map { _ in try CopyClient(service: service, pages: 64, completions: .onLane) }
        #expect(clients[0].lane !== clients[1].lane)
        let entered = (0..<2).map { _ in DispatchSemaphore(value: 0) }
        let boxes = (0..<2).map { _ in ResultBox() }
        for index in 0..<2 {
            try clients[index].copy(from: source, to: [destinations[index]]) { result in
                // Both lanes are in a completion when the first of them destroys.
                entered[index].signal()
                entered[1 - index].wait()
                clients[1 - index].destroy()
                boxes[index].set(result)
            }
        }
        for box in boxes { #expect(await box.value == .success(2048)) }
        for client in clients { await destroyed(client) }
        service.shutdown()
    }

    @Test(
        "by another thread ends a client whose completions on the lane go on submitting",
        arguments: EngineKind.available)
    func busyLane(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine)
        let (source, destination) = try devices(fixture)
        let client = try CopyClient(service: fixture.service, pages: 64, completions: .onLane)
        let ended = Atomic<Int>(0)
        let hundred = ResultBox()
        @Sendable func submit() {
            // Refused once the client is being destroyed: the end of the chain.
            _ = try? client.copy(from: source, to: [destination]) { result in
                if ended.add(1, ordering: .relaxed).newValue == 100 { hundred.set(result) }
                submit()
            }
        }
        submit()
        #expect(await hundred.value == .success(2048))
        await destroyed(client)
        let count = ended.load(ordering: .relaxed)
        await fixture.service.answered()
        #expect(ended.load(ordering: .relaxed) == count)
    }

    @Test(
        "twice, by several threads, and after the service has ended is the same as once",
        arguments: EngineKind.available)
    func twice(engine: EngineKind) async throws {
        let service = try CopyService(engine: engine.choice, lanes: 2)
        for _ in 0..<20 {
            let client = try CopyClient(service: service, pages: 16)
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<4 { group.addTask { await destroyed(client) } }
            }
        }
        let client = try CopyClient(service: service, pages: 16)
        client.destroy()
        service.shutdown()
        client.destroy()
    }

    @Test("gives its memory back", arguments: EngineKind.available)
    func memory(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine)
        weak var memory: PageMemory?
        do {
            let client = try CopyClient(service: fixture.service, pages: 16)
            memory = client.memory
            client.destroy()
        }
        await fixture.service.answered()
        #expect(memory == nil)
    }
}

@Suite("Ending the service")
struct ShutdownTests {
    private static let contents = Bytes.random(1 << 20, seed: 1)

    @Test(
        "leaves devices that can be closed, jobs that can be cancelled, and no claim", arguments: EngineKind.available)
    func afterwards(engine: EngineKind) async throws {
        let directory = try TemporaryDirectory()
        let paths = try (0..<2).map { try directory.image("device \($0)", contents: Self.contents) }
        let devices = try paths.map { try BlockDevice.open(FilePath($0), access: .readWrite, claim: true) }
        let service = try CopyService(engine: engine.choice, lanes: 2)
        var jobs: [CopyJob] = []
        for _ in 0..<2 {
            let client = try CopyClient(service: service, pages: 16)
            let result = try await client.copied(
                from: IORegion(devices[0], sector: 0, count: 8), to: [IORegion(devices[1], sector: 8, count: 8)],
                started: { jobs.append($0) })
            #expect(result == .success(8))
            client.destroy()
        }
        service.shutdown()
        for job in jobs { job.cancel() }
        for (device, path) in zip(devices, paths) {
            let again = try Program.quietly {
                device.close()
                return try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
            }
            again.close()
            #expect(OpenDescriptors.count(of: path) == 0)
        }
        withExtendedLifetime(service) {}
    }
}
