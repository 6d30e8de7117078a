import BlockIO
import Dispatch
import Glibc
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import KCopy

@Suite("Completions")
struct CompletionTests {
    private static let contents = Bytes.random(4 << 20, seed: 1)

    @Test(
        "come once each, one at a time, on the client's queue or its lane's", arguments: EngineKind.available,
        CompletionPlace.allCases)
    func once(engine: EngineKind, place: CompletionPlace) async throws {
        let fixture = try CopyFixture(engine, completions: place)
        let source = try fixture.image("source", Self.contents)
        let destination = try fixture.hole("destination", bytes: 4 << 20)
        let running = Atomic<Int>(0)
        let ended = Mutex<[Int]>([])
        let client = fixture.client
        let boxes = (0..<1000).map { _ in ResultBox() }
        for (index, box) in boxes.enumerated() {
            let sector = UInt64(index * 8)
            try client.copy(
                from: IORegion(source, sector: sector, count: 8), to: [IORegion(destination, sector: sector, count: 8)]
            ) { result in
                #expect(running.add(1, ordering: .relaxed).newValue == 1)
                dispatchPrecondition(condition: .onQueue(client.callbacks))
                #expect(Lane.isCurrent == (place == .onLane))
                ended.withLock { $0.append(index) }
                running.subtract(1, ordering: .relaxed)
                box.set(result)
            }
        }
        for box in boxes { #expect(await box.value == .success(8)) }
        #expect(ended.withLock { $0.sorted() } == Array(0..<1000))
        try expectContent(destination, Self.contents.zeroing(8000..<8192))
    }

    @Test("come in the order in which the jobs ended", arguments: EngineKind.available, CompletionPlace.allCases)
    func order(engine: EngineKind, place: CompletionPlace) async throws {
        let order = [3, 0, 4, 1, 2]
        let open = Mutex<Set<Int>>([])
        let plan = FaultPlan { access in
            access.kind == .write && !open.withLock({ $0.contains(access.offset) }) ? .held : nil
        }
        let fixture = try CopyFixture(engine, completions: place, plan: plan)
        let source = try fixture.image("source", Self.contents)
        let destination = try fixture.hole("destination", bytes: 4 << 20)
        let ended = Mutex<[Int]>([])
        // The read of a job whose write is held is under way for as long as its chain is.
        let boxes = (0..<5).map { _ in ResultBox() }
        for index in order {
            open.withLock { _ = $0.insert(index << 16) }
            let region = IORegion(source, sector: UInt64(index * 128), count: 8)
            try fixture.client.copy(from: region, to: [IORegion(destination, sector: UInt64(index * 128), count: 8)]) {
                result in
                ended.withLock { $0.append(index) }
                boxes[index].set(result)
            }
            #expect(await boxes[index].value == .success(8))
        }
        #expect(ended.withLock { $0 } == order)
    }

    @Test("may submit new jobs", arguments: EngineKind.available, CompletionPlace.allCases)
    func submits(engine: EngineKind, place: CompletionPlace) async throws {
        let fixture = try CopyFixture(engine, pages: 4, completions: place)
        let device = try fixture.image("device", Self.contents)
        let client = fixture.client
        let box = ResultBox()
        /// Copies the first page on, from page to page.
        @Sendable func step(_ page: UInt64) {
            do {
                try client.copy(
                    from: IORegion(device, sector: page * 8, count: 8),
                    to: [IORegion(device, sector: page * 8 + 8, count: 8)]
                ) { result in
                    if page < 499, result.isSuccess { step(page + 1) } else { box.set(result) }
                }
            } catch {
                Issue.record(error)
                box.set(CopyResult())
            }
        }
        step(0)
        #expect(await box.value == .success(8))
        var expected = Self.contents
        for page in 1...500 { expected.replaceSubrange(page * 4096..<(page + 1) * 4096, with: Self.contents[0..<4096]) }
        try expectContent(device, expected)
    }

    @Test("on the lane come in the round in which the jobs have ended, back to back", arguments: EngineKind.available)
    func backToBack(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine, completions: .onLane, plan: FaultPlan { _ in .error(EIO) })
        let source = try fixture.image("source", Self.contents)
        let destination = try fixture.hole("destination", bytes: 4 << 20)
        let queue = fixture.client.lane.queue
        let others = Atomic<Int>(0)
        let leave = DispatchSemaphore(value: 0)
        // All jobs are there before the lane takes the first, and their reads fail at once: in one round.
        queue.async { leave.wait() }
        let boxes = (0..<16).map { _ in ResultBox() }
        for (index, box) in boxes.enumerated() {
            let sector = UInt64(index * 8)
            try fixture.client.copy(
                from: IORegion(source, sector: sector, count: 8), to: [IORegion(destination, sector: sector, count: 8)]
            ) { result in
                #expect(others.load(ordering: .relaxed) == 0, "something came before the completion")
                box.set(result)
            }
        }
        // Behind the round, which the first job has put on the queue.
        queue.async { others.add(1, ordering: .relaxed) }
        leave.signal()
        for box in boxes { #expect(await box.value.readError) }
    }

    @Test("on a queue of the client's own that block delay nobody else", arguments: EngineKind.available)
    func blocking(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine)
        let source = try fixture.image("source", Self.contents)
        let destination = try fixture.hole("destination", bytes: 4 << 20)
        let leave = DispatchSemaphore(value: 0)
        let box = ResultBox()
        try fixture.client.copy(
            from: IORegion(source, sector: 0, count: 8), to: [IORegion(destination, sector: 0, count: 8)]
        ) { result in
            leave.wait()
            box.set(result)
        }
        let other = try CopyClient(service: fixture.service, pages: 64)
        let result = try await other.copied(
            from: IORegion(source, sector: 8, count: 8000), to: [IORegion(destination, sector: 8, count: 8000)])
        #expect(result == .success(8000))
        other.destroy()
        #expect(!box.isSet)
        leave.signal()
        #expect(await box.value == .success(8))
    }

    @Test("of two hundred clients at once all come", arguments: EngineKind.available)
    func manyClients(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine)
        let source = try fixture.image("source", Self.contents)
        let destinations = try (0..<2).map { try fixture.hole("destination \($0)", bytes: 4 << 20) }
        let clients = try (0..<200).map { index in
            try CopyClient(
                service: fixture.service, pages: 1 + index % 9, name: "client \(index)",
                priority: CopyPriority.allCases[index % 3])
        }
        var boxes: [(ResultBox, Int)] = []
        for round in 0..<4 {
            for (index, client) in clients.enumerated() {
                let sector = UInt64(index * 40 + round * 10)
                let regions = destinations.map { IORegion($0, sector: sector, count: 10) }
                let box = ResultBox()
                try client.copy(from: IORegion(source, sector: sector, count: 10), to: regions) { box.set($0) }
                boxes.append((box, index))
            }
        }
        for (box, index) in boxes { #expect(await box.value == .success(10), "client \(index)") }
        for client in clients { client.destroy() }
        for destination in destinations { try expectContent(destination, Self.contents.zeroing(8000..<8192)) }
        #expect(fixture.client.lane.queue.sync { fixture.client.lane.members.count } == 1)
    }

    @Test(
        "come although the device was closed meanwhile; it takes no new job and closes after the last",
        arguments: EngineKind.available)
    func closing(engine: EngineKind) async throws {
        let plan = FaultPlan { $0.kind == .write ? .held : nil }
        let fixture = try CopyFixture(engine, plan: plan)
        let source = try fixture.image("source", Self.contents)
        let destination = try fixture.hole("destination", bytes: 4 << 20)
        let box = ResultBox()
        try fixture.client.copy(from: IORegion(whole: source), to: [IORegion(whole: destination)]) { box.set($0) }
        await plan.until(.write, count: 1)
        destination.close()
        #expect(OpenDescriptors.count(of: destination.path) == 1)
        let error = #expect(throws: CopyError.self) {
            try fixture.client.copy(
                from: IORegion(source, sector: 0, count: 8), to: [IORegion(destination, sector: 0, count: 8)]
            ) { _ in }
        }
        #expect(error?.code == .closed && error?.object == destination.path)
        plan.heal()
        #expect(await box.value == .success(8192))
        #expect(OpenDescriptors.count(of: destination.path) == 0)
        try expectContent(destination, Self.contents)
    }

    @Test(
        "may close the job's devices, and they are closed then", arguments: EngineKind.available,
        CompletionPlace.allCases)
    func closes(engine: EngineKind, place: CompletionPlace) async throws {
        let fixture = try CopyFixture(engine, completions: place)
        let source = try fixture.image("source", Self.contents)
        let destination = try fixture.hole("destination", bytes: 4 << 20)
        let box = ResultBox()
        try fixture.client.copy(from: IORegion(whole: source), to: [IORegion(whole: destination)]) { result in
            for device in [source, destination] {
                device.close()
                #expect(OpenDescriptors.count(of: device.path) == 0)
            }
            box.set(result)
        }
        #expect(await box.value == .success(8192))
    }

    @Test("find devices that can be claimed anew as soon as they are closed", arguments: EngineKind.available)
    func claim(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine)
        let source = try fixture.image("source", Self.contents)
        let path = try fixture.directory.image("destination", bytes: 4 << 20)
        for _ in 0..<50 {
            let device = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
            let result = try await fixture.client.copied(
                from: IORegion(source, sector: 0, count: 64), to: [IORegion(device, sector: 0, count: 64)])
            #expect(result == .success(64))
            let again = try Program.quietly {
                device.close()
                return try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
            }
            again.close()
        }
    }
}
