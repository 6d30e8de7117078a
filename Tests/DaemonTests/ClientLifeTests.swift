import ControlAPI
import Dispatch
import Glibc
import Synchronization
import Testing
import Varlink

@testable import Daemon

extension DaemonTests {
    @Suite struct ClientLifeTests {
        @Test func aClientEndsWithItsConnectionAndItsPagesComeBack() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 512)
            let target = try daemon.directory.image("target", sectors: 512)
            let observer = try daemon.connect()
            let (connection, client) = try daemon.client(pages: 100, bytesPerSecond: 0)
            let job = try connection.copy(client, source.region(), [target.region()])
            #expect(daemon.control.pagesInUse == 100)
            connection.shutdown()
            #expect(try observer.wait(job: job)?.state == .cancelled)
            daemon.waitUntilGone(client)
            #expect(daemon.control.pagesInUse == 0)
            #expect(try target.isUnclaimed())
            #expect(try observer.call(CopyInterface.List.self, .init()).clients.isEmpty)
            #expect(daemon.stop() == 0)
        }

        @Test func aKeptClientEndsWithTheLastOfItsJobs() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 512)
            let target = try daemon.directory.image("target", sectors: 512)
            let observer = try daemon.connect()
            let (connection, client) = try daemon.client(pages: 100, bytesPerSecond: 0, keep: true)
            let job = try connection.copy(client, source.region(), [target.region()])
            connection.shutdown()
            try observer.setRate(client, nil)
            #expect(try observer.wait(job: job)?.state == .done)
            daemon.waitUntilGone(client)
            #expect(daemon.control.pagesInUse == 0)
            #expect(try target.bytes() == source.bytes())
            #expect(daemon.stop() == 0)
        }

        @Test func destroyWaitsForJobsThatARateHolds() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 512)
            let target = try daemon.directory.image("target", sectors: 512)
            let (connection, client) = try daemon.client(bytesPerSecond: 0)
            let job = try connection.copy(client, source.region(), [target.region()])
            try connection.end(client)
            #expect(try target.bytes() == source.bytes())
            #expect(try connection.wait(job: job)?.state == .done)
            #expect(
                failure { _ = try connection.copy(client, source.region(), [target.region()]) }
                    == .noSuchClient(client: client))
            #expect(daemon.stop() == 0)
        }

        @Test func destroyWithCancelStopsTheJobsFirst() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 512)
            let target = try daemon.directory.image("target", sectors: 512)
            let (connection, client) = try daemon.client(bytesPerSecond: 0)
            let jobs = try (0..<4).map {
                try connection.copy(client, source.region(UInt64($0), 1), [target.region(UInt64($0))])
            }
            try connection.end(client, cancel: true)
            for job in jobs { #expect(try connection.wait(job: job)?.state == .cancelled) }
            #expect(daemon.control.pagesInUse == 0)
            #expect(daemon.stop() == 0)
        }

        @Test func hundredsOfClientsCopyAtOnce() throws {
            let daemon = try TestDaemon()
            let count = 200
            let source = try daemon.directory.noise("source", sectors: count * 8)
            let target = try daemon.directory.image("target", sectors: count * 8)
            let owner = try daemon.connect()
            let device = try owner.call(CopyInterface.OpenDevice.self, .init(path: target.string, writable: true))
                .device
            var jobs: [Int] = []
            for index in 0..<count {
                let client = try owner.client(pages: 1)
                let sector = UInt64(index) * 8
                jobs.append(try owner.copy(client, source.region(sector, 8), [.init(device: device, sector: sector)]))
            }
            for job in jobs { #expect(try owner.wait(job: job)?.state == .done) }
            #expect(try target.bytes() == source.bytes())
            #expect(daemon.control.pagesInUse == count)
            owner.shutdown()
            #expect(daemon.stop() == 0)
            #expect(daemon.control.pagesInUse == 0)
        }

        @Test func hundredsOfConnectionsEachWithAClient() throws {
            let daemon = try TestDaemon()
            var connections: [(ControlConnection, Int)] = []
            for _ in 0..<200 { connections.append(try daemon.client(pages: 2)) }
            #expect(daemon.control.pagesInUse == 400)
            for (connection, _) in connections { connection.shutdown() }
            for (_, client) in connections { daemon.waitUntilGone(client) }
            #expect(daemon.control.pagesInUse == 0)
            #expect(daemon.stop() == 0)
        }

        @Test(arguments: [StopPolicy.finish, .cancel]) func stoppingTreatsJobsByThePolicy(policy: StopPolicy) throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 2048)
            let target = try daemon.directory.image("target", sectors: 2048)
            let (connection, client) = try daemon.client(bytesPerSecond: 0)
            let job = try connection.copy(client, source.region(), [target.region()])
            let watcher = try daemon.connect()
            let ended = Box<CopyInterface.State?>(nil)
            let done = DispatchSemaphore(value: 0)
            let watching = DispatchSemaphore(value: 0)
            DispatchQueue(label: "watcher").async {
                // Losing the last report would show in `ended`.
                _ = try? watcher.watch(job: job, interval: 10) { report in
                    ended.set(report.state)
                    if report.state == .running { watching.signal() }
                    return true
                }
                done.signal()
            }
            watching.wait()
            let lifted = DispatchSemaphore(value: 0)
            DispatchQueue(label: "rate").async {
                // What is to finish goes on when stopping has begun; what is cancelled is held to its end.
                while policy == .finish, daemon.control.tables.withLock({ $0.stop == nil }) { sched_yield() }
                if policy == .finish { try? connection.setRate(client, nil) }
                lifted.signal()
            }
            #expect(daemon.stop(policy) == 0)
            lifted.wait()
            done.wait()
            #expect(ended.get() == (policy == .finish ? .done : .cancelled))
            if policy == .finish { #expect(try target.bytes() == source.bytes()) }
            #expect(daemon.control.pagesInUse == 0)
        }

        @Test func aStoppingDaemonTakesNoNewWork() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 64)
            let target = try daemon.directory.image("target", sectors: 64)
            let (connection, client) = try daemon.client(bytesPerSecond: 0)
            let job = try connection.copy(client, source.region(), [target.region()])
            let stopped = DispatchSemaphore(value: 0)
            daemon.control.stop(.finish, timeout: 60) { _ in stopped.signal() }
            #expect(failure { _ = try connection.client() } == .stopping)
            #expect(failure { _ = try connection.copy(client, source.region(), [target.region()]) } == .stopping)
            #expect(
                failure { _ = try connection.call(CopyInterface.OpenDevice.self, .init(path: source.string)) }
                    == .stopping)
            #expect(try connection.call(CopyInterface.List.self, .init()).jobs.map(\.job) == [job])
            try connection.setRate(client, nil)
            #expect(try connection.wait(job: job)?.state == .done)
            stopped.wait()
        }
    }
}
