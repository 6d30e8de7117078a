import BlockIO
import Testing

@testable import KCopy

@Suite("The scheduler is fair to clients")
struct SchedulerFairnessTests {
    @Test("A 4 KiB job waits for one turn of a client with a hundred large jobs, not for the jobs")
    func smallJobIsNotStarved() {
        var driver = SchedulerDriver()
        let large = driver.client(8192)
        for _ in 0..<100 { _ = driver.job(large, 1 << 20) }
        driver.pump()
        for _ in 0..<50 { driver.end(0) }
        let small = driver.client(16)
        let job = driver.job(small, 8)
        let before = driver.order.count
        while driver.claimed[job] == nil { driver.end(0) }
        let between = driver.order[before...].filter { $0.client == large }.map(\.bytes).reduce(0, +)
        #expect(between <= JobScheduler.turn + 512 << 10)
    }

    @Test("Clients of equal priority get equal bytes, whatever the size of their jobs")
    func bytesAreDealtEqually() {
        var driver = SchedulerDriver()
        let large = driver.client(4096)
        let small = driver.client(4096)
        _ = driver.job(large, 1 << 24)
        for _ in 0..<20_000 { _ = driver.job(small, 8) }
        driver.pump()
        while driver.order.filter({ $0.client == small }).count < 10_000 { driver.end(0) }
        let bytes = [large, small].map { client in driver.order.filter { $0.client == client }.map(\.bytes).reduce(0, +)
        }
        #expect(abs(bytes[0] - bytes[1]) <= JobScheduler.window)
    }

    @Test("Copy-on-write goes before resync and resync before scrub, and the last gets one piece in sixteen")
    func prioritiesHold() {
        var driver = SchedulerDriver()
        let scrub = driver.client(2048, .scrub)
        let resync = driver.client(2048, .resync)
        let urgent = driver.client(2048, .copyOnWrite)
        for client in [scrub, resync, urgent] { _ = driver.job(client, 1 << 21) }
        driver.pump()
        for _ in 0..<600 { driver.end(0) }
        let shares = [urgent, resync, scrub].map { client in driver.order.filter { $0.client == client }.count }
        #expect(shares[0] > shares[1])
        #expect(shares[2] >= driver.order.count / 20)
        #expect(shares[2] <= driver.order.count / 12)
    }

    @Test("What fills the window keeps no other client from going on, be it on a device that never answers")
    func fullWindowStopsNobody() {
        var driver = SchedulerDriver()
        let stuck = driver.client(8192)
        _ = driver.job(stuck, 1 << 20)
        driver.pump()
        let silent = driver.pending.count
        #expect(driver.order.map(\.bytes).reduce(0, +) >= JobScheduler.window)
        for priority in CopyPriority.allCases {
            let client = driver.client(2048, priority)
            let job = driver.job(client, 8192)
            driver.pump()
            while driver.pending.count > silent { driver.end(silent) }
            #expect(driver.results[job]?.copied == 8192)
        }
    }

    @Test("What is under way stays within the lane's window but for a piece of each client")
    func windowHolds() {
        var driver = SchedulerDriver()
        for _ in 0..<50 {
            let client = driver.client(2048)
            _ = driver.job(client, 1 << 20)
        }
        for _ in 0..<500 {
            driver.pump()
            driver.end(0)
        }
        let bytes = driver.pending.compactMap(\.pieceOrNone).map { Int(driver.scheduler.pieces[$0].range.count) * 512 }
        #expect(bytes.reduce(0, +) <= JobScheduler.window + 50 * 512 << 10)
        #expect(bytes.reduce(0, +) >= JobScheduler.window / 2)
    }

    @Test("A job behind a large one of the same client is served in turn")
    func jobsOfAClientTakeTurns() {
        var driver = SchedulerDriver()
        let client = driver.client(512)
        let large = driver.job(client, 1 << 20)
        let small = driver.job(client, 8)
        driver.pump()
        #expect(driver.claimed[small] != nil)
        #expect((driver.claimed[large]?.count ?? 0) <= 4)
    }

    @Test("A held client makes no progress until its rate is changed")
    func heldUntilRateChanges() {
        var driver = SchedulerDriver()
        let client = driver.client(2048, .resync, CopyRate(bytesPerSecond: 0))
        let job = driver.job(client, 8)
        driver.pump()
        #expect(driver.pending.isEmpty)
        #expect(driver.scheduler.wakeAt == nil)
        driver.scheduler.setRate(client, .unlimited)
        driver.endAll()
        #expect(driver.results[job]?.isSuccess == true)
    }

    @Test("A rate in bytes per second spaces pieces out by the virtual clock")
    func rateSpacesPieces() {
        var driver = SchedulerDriver()
        let client = driver.client(2048, .resync, CopyRate(bytesPerSecond: 1 << 20))
        let job = driver.job(client, 20 * 1024)  // 10 MiB
        let start = driver.scheduler.now
        driver.endAll()
        while driver.results[job] == nil, let wake = driver.scheduler.wakeAt {
            driver.scheduler.now = wake
            driver.endAll()
        }
        #expect(driver.results[job]?.isSuccess == true)
        let seconds = Double(driver.scheduler.now - start) / 1e9
        #expect(seconds > 9.4 && seconds < 10.1)
    }

    @Test("A share of time keeps I/O under way for that part of the virtual clock", arguments: [10, 25, 50, 90])
    func shareOfTime(percent: Int) {
        var driver = SchedulerDriver()
        let client = driver.client(2048, .resync, CopyRate(percent: percent))
        let job = driver.job(client, 1 << 24)
        var busy: Nanoseconds = 0
        let start = driver.scheduler.now
        driver.pump()
        while driver.scheduler.now - start < 20_000_000_000, driver.results[job] == nil {
            if driver.pending.isEmpty {
                guard let wake = driver.scheduler.wakeAt else { break }
                driver.scheduler.now = wake
                driver.pump()
            } else {
                driver.scheduler.now += 1_000_000
                busy += 1_000_000
                driver.end(0)
            }
        }
        let share = Double(busy) / Double(driver.scheduler.now - start) * 100
        #expect(abs(share - Double(percent)) < 5)
    }

    @Test("Waiting for its rate does not delay what is under way")
    func throttleDelaysNoCompletion() {
        var driver = SchedulerDriver()
        let client = driver.client(2048, .resync, CopyRate(bytesPerSecond: 1))
        let first = driver.job(client, 8)
        let second = driver.job(client, 8)
        driver.endAll()
        #expect(driver.results[first]?.isSuccess == true)
        #expect(driver.results[second] == nil)
        #expect((driver.scheduler.wakeAt ?? 0) > driver.scheduler.now)
    }
}

@Suite("The scheduler under random jobs, faults and orders")
struct SchedulerModelTests {
    @Test("Every job finishes once with the result that its faults ask for", arguments: 1...80)
    func randomRuns(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        var driver = SchedulerDriver(depth: Int.random(in: 8...256, using: &generator))
        let holes = UInt64.random(in: 8...3000, using: &generator)
        driver.extents = { _, from in
            (1...3).map { Extent(end: (from / holes + $0) * holes, isHole: (from / holes + $0) % 2 == 0) }
        }
        let salt = Int.random(in: 3...200, using: &generator)
        var injected: [Int: (read: Bool, write: UInt32)] = [:]
        let clients = (0..<Int.random(in: 1...6, using: &generator)).map { _ in
            driver.client(
                Int.random(in: 1...600, using: &generator),
                CopyPriority.allCases.randomElement(using: &generator) ?? .scrub)
        }
        var flagsOf: [Int: CopyFlags] = [:]
        var counts: [Int: UInt64] = [:]
        for _ in 0..<Int.random(in: 1...8, using: &generator) {
            let flags = CopyFlags(rawValue: UInt32.random(in: 0...UInt32.max, using: &generator)).intersection(.all)
            let count = UInt64.random(in: 0...9000, using: &generator)
            let job = driver.job(
                clients.randomElement(using: &generator) ?? 0, count, to: Int.random(in: 1...8, using: &generator),
                flags,
                isZero: Bool.random(using: &generator), zeroesAreCheap: Bool.random(using: &generator))
            flagsOf[job] = flags
            counts[job] = count
        }
        let faults = Bool.random(using: &generator)
        driver.pump()
        while !driver.pending.isEmpty {
            checkBudgets(driver, clients)
            let index = Int.random(in: 0..<driver.pending.count, using: &generator)
            let fails = faults && Int.random(in: 0..<salt, using: &generator) == 0
            if fails { inject(driver.pending[index], driver, &injected) }
            driver.fault = { _, _ in fails ? EIOValue : 0 }
            driver.end(index)
        }
        #expect(Set(driver.finished) == Set(counts.keys))
        #expect(driver.finished.count == counts.count)
        for (job, count) in counts {
            check(job, count, flagsOf[job] ?? [], driver, injected[job] ?? (false, 0))
        }
        for client in clients {
            #expect(driver.scheduler.clients[client].budget.free == driver.scheduler.clients[client].budget.total)
        }
    }

    private let EIOValue: Int32 = 5

    private func inject(
        _ operation: SchedulerDriver.Pending, _ driver: SchedulerDriver,
        _ injected: inout [Int: (read: Bool, write: UInt32)]
    ) {
        func job(_ piece: Int) -> Int { driver.scheduler.pieces[piece].job }
        switch operation {
        case .read(let piece): injected[job(piece), default: (false, 0)].read = true
        case .linkedWrite(let piece): injected[job(piece), default: (false, 0)].write |= 1
        case .write(let piece, let destination), .readBack(let piece, let destination):
            injected[job(piece), default: (false, 0)].write |= 1 << UInt32(destination)
        case .flush(let flushed, let destination):
            injected[flushed, default: (false, 0)].write |= 1 << UInt32(destination)
        case .map: break
        }
    }

    private func checkBudgets(_ driver: SchedulerDriver, _ clients: [Int]) {
        for client in clients {
            let pieces = Set(driver.pending.compactMap(\.pieceOrNone)).map { driver.scheduler.pieces[$0] }
                .filter { $0.client == client }
            let runs = pieces.compactMap(\.pages)
            let budget = driver.scheduler.clients[client].budget
            let pages = runs.flatMap { Array($0.start..<$0.start + $0.count) }
            #expect(pages.count <= budget.total - budget.free && Set(pages).count == pages.count)
        }
    }

    private func check(
        _ job: Int, _ count: UInt64, _ flags: CopyFlags, _ driver: SchedulerDriver,
        _ injected: (read: Bool, write: UInt32)
    ) {
        guard let result = driver.results[job] else { return }
        #expect(result.readError == injected.read)
        #expect(result.writeErrors == injected.write)
        let claimed = (driver.claimed[job] ?? []).sorted { $0.start < $1.start }
        for (earlier, later) in zip(claimed, claimed.dropFirst()) { #expect(earlier.end <= later.start) }
        if result.isSuccess || flags.contains(.ignoreErrors) && !flags.contains(.sequential) {
            #expect(claimed.map(\.count).reduce(0, +) == count)
        }
        if result.isSuccess {
            #expect(result.copied == count)
            #expect(result.resumeAt == count)
        }
        #expect(result.resumeAt <= result.copied)
    }
}
