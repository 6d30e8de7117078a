import ControlAPI
import Dispatch
import Glibc
import Testing
import Varlink

@testable import Daemon

extension DaemonTests {
    @Suite struct WatchTests {
        @Test func watchingAJobReportsProgressAndEndsWithIt() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 512)
            let target = try daemon.directory.image("target", sectors: 512)
            let (connection, client) = try daemon.client(bytesPerSecond: 0)
            let job = try connection.copy(client, source.region(), [target.region()])
            let watcher = try daemon.connect()
            var states: [CopyInterface.State] = []
            let last = try watcher.watch(job: job, interval: 10) { report in
                states.append(report.state)
                #expect(report.totalBytes == 512 * 512 && report.job == job && report.client == client)
                // The job is held until somebody watches it.
                if states.count == 3 { try? connection.setRate(client, nil) }
                return true
            }
            #expect(last?.state == .done && last?.bytes == 512 * 512)
            #expect(states.dropLast().allSatisfy { $0 == .running } && states.count > 3)
            #expect(try target.bytes() == source.bytes())
            #expect(daemon.stop() == 0)
        }

        @Test func theEndOfAJobIsToldOnceThoughAReportIsDueBeforeItIsKnown() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 64)
            let target = try daemon.directory.image("target", sectors: 64)
            let (connection, client) = try daemon.client(bytesPerSecond: 0)
            let job = try connection.copy(client, source.region(), [target.region()])
            let goOn = DispatchSemaphore(value: 0)
            var states: [CopyInterface.State] = []
            try daemon.connect().watch(job: job, interval: 10) { report in
                states.append(report.state)
                guard states.count == 1 else { return true }
                // Nothing is told while the queue stands still: first the timer's report waits there, then the news of the end.
                daemon.control.reports.queue.async { goOn.wait() }
                usleep(100_000)
                #expect(throws: Never.self) {
                    try connection.setRate(client, nil)
                    while try connection.call(CopyInterface.List.self, .init()).jobs.first?.state == .running {
                        sched_yield()
                    }
                }
                goOn.signal()
                return true
            }
            #expect(states.last == .done && states.dropLast().allSatisfy { $0 == .running }, "\(states)")
            #expect(daemon.stop() == 0)
        }

        @Test func cancelAnswersWhenTheJobHasStopped() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 512)
            let target = try daemon.directory.image("target", sectors: 512, filledWith: 3)
            let (connection, client) = try daemon.client(bytesPerSecond: 0)
            let job = try connection.copy(client, source.region(), [target.region()])
            let report = try connection.call(CopyInterface.Cancel.self, .init(job: job)).job
            #expect(report.state == .cancelled && report.copiedBytes == 0 && report.resumeAt == 0)
            #expect(try target.bytes().allSatisfy { $0 == 3 } && target.isUnclaimed())
            // Once more changes nothing.
            #expect(try connection.call(CopyInterface.Cancel.self, .init(job: job)).job == report)
            #expect(
                failure { _ = try connection.call(CopyInterface.Cancel.self, .init(job: 99)) } == .noSuchJob(job: 99))
            #expect(daemon.stop() == 0)
        }

        @Test func watchingAClientTellsEveryEndedJobInOrderAndThenTheClientsEnd() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 64)
            let target = try daemon.directory.image("target", sectors: 64)
            let (connection, client) = try daemon.client()
            func run(_ count: Int) throws -> [Int] {
                try (0..<count).map { index in
                    let sector = UInt64(index % 8) * 8
                    return try connection.copy(client, source.region(sector, 8), [target.region(sector)])
                }
            }
            var expected = try run(300)
            for job in expected { #expect(try connection.wait(job: job)?.state == .done) }
            let watcher = try daemon.connect()
            var seen: [Int] = []
            try watcher.watch(client: client) { job in
                #expect(job.state == .done)
                seen.append(job.job)
                if seen.count == 300 {
                    do {
                        expected += try run(40)
                    } catch {
                        Issue.record(error)
                    }
                }
                // A watcher that goes leaves what it has not taken to the next one.
                return seen.count < 320
            }
            #expect(seen.count == 320 && Array(Set(seen)).count == 320)
            let last = try daemon.connect()
            try connection.end(client)
            #expect(failure { try last.watch(client: client) { _ in true } } == .noSuchClient(client: client))
            #expect(Set(seen).isSubset(of: expected))
            #expect(daemon.stop() == 0)
        }

        @Test func theWatchOfAClientEndsWhenTheClientIsDestroyed() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 64)
            let target = try daemon.directory.image("target", sectors: 64)
            let (connection, client) = try daemon.client()
            let job = try connection.copy(client, source.region(), [target.region()])
            let watcher = try daemon.connect()
            var seen: [Int] = []
            var failed: (any Error)?
            try watcher.watch(client: client) { report in
                seen.append(report.job)
                do { try connection.end(client) } catch { failed = error }
                return true
            }
            #expect(seen == [job] && failed == nil)
            #expect(daemon.stop() == 0)
        }

        @Test func watchingAClientNeedsMore() throws {
            let daemon = try TestDaemon()
            let (connection, client) = try daemon.client()
            #expect {
                _ = try connection.call(CopyInterface.Watch.self, .init(client: client))
            } throws: { error in
                if case ControlError.reply(.expectedMore)? = error as? ControlError { true } else { false }
            }
            #expect(daemon.stop() == 0)
        }

        @Test func aWatcherThatGoesAwayDisturbsNobody() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 64)
            let target = try daemon.directory.image("target", sectors: 64)
            let (connection, client) = try daemon.client(bytesPerSecond: 0)
            let job = try connection.copy(client, source.region(), [target.region()])
            for _ in 0..<20 {
                try daemon.connect().watch(job: job, interval: 10) { _ in false }
            }
            try connection.setRate(client, nil)
            #expect(try connection.wait(job: job)?.state == .done)
            #expect(daemon.stop() == 0)
        }

        @Test func listShowsClientsAndJobsWithTheirLimits() throws {
            let daemon = try TestDaemon()
            let source = try daemon.directory.noise("source", sectors: 64)
            let target = try daemon.directory.image("target", sectors: 64)
            let (connection, client) = try daemon.client(pages: 7, bytesPerSecond: 0)
            let job = try connection.copy(client, source.region(), [target.region()])
            let list = try daemon.connect().call(CopyInterface.List.self, .init())
            let shown = try #require(list.clients.first)
            #expect(list.clients.count == 1 && shown.client == client && shown.pages == 7 && shown.jobs == 1)
            #expect(
                shown.bytesPerSecond == 0 && shown.percent == 100 && shown.pid == getpid() && shown.uid == geteuid())
            #expect(list.jobs.map(\.job) == [job] && list.jobs.first?.state == .running)
            _ = try connection.call(CopyInterface.SetRate.self, .init(job: job, bytesPerSecond: 1 << 30, percent: 90))
            _ = try connection.wait(job: job)
            let after = try connection.call(CopyInterface.List.self, .init())
            #expect(after.jobs.first?.state == .done && after.clients.first?.jobs == 0)
            #expect(after.clients.first?.bytesPerSecond == 1 << 30 && after.clients.first?.percent == 90)
            #expect(daemon.stop() == 0)
        }
    }
}
