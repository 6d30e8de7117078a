import ControlAPI
import Glibc
import KCopy
import Synchronization
import SystemPackage
import Testing
import Varlink

@testable import Daemon

extension DaemonTests {
    @Suite struct PeerLimitTests {
        private static var small: PeerLimits {
            var limits = PeerLimits()
            limits.clients = 2
            limits.jobs = 3
            limits.devices = 4
            limits.pages = 10
            limits.totalPages = 1000
            return limits
        }

        @Test func clientsAreLimitedAndComeBack() throws {
            let daemon = try TestDaemon(Self.small)
            let connection = try daemon.connect()
            let first = try connection.client(pages: 1)
            _ = try connection.client(pages: 1)
            #expect(failure { _ = try connection.client(pages: 1) } == .limitExceeded(what: "clients", limit: 2))
            try connection.end(first)
            _ = try connection.client(pages: 1)
            #expect(daemon.stop() == 0)
        }

        @Test func pagesAreLimitedAndComeBack() throws {
            let daemon = try TestDaemon(Self.small)
            let connection = try daemon.connect()
            let first = try connection.client(pages: 6)
            #expect(failure { _ = try connection.client(pages: 5) } == .limitExceeded(what: "pages", limit: 10))
            #expect(
                failure { _ = try connection.client(pages: CopyClient.mostPages) }
                    == .limitExceeded(what: "pages", limit: 10))
            #expect(failure { _ = try connection.client(pages: 0) }?.errno == EINVAL)
            #expect(failure { _ = try connection.client(pages: .min) }?.errno == EINVAL)
            #expect(failure { _ = try connection.client(pages: .max) }?.errno == EINVAL)
            // What a refused client was granted before the refusal is given back.
            #expect(daemon.control.pagesInUse == 6)
            try connection.end(first)
            _ = try connection.client(pages: 10)
            #expect(daemon.stop() == 0)
        }

        @Test func pagesOfAllPeersTogetherAreLimited() throws {
            var limits = Self.small
            limits.totalPages = 8
            let daemon = try TestDaemon(limits)
            let (connection, client) = try daemon.client(pages: 5)
            #expect(
                failure { _ = try connection.client(pages: 4) }
                    == .limitExceeded(what: "pages of all clients", limit: 8))
            try connection.end(client)
            _ = try connection.client(pages: 8)
            #expect(daemon.stop() == 0)
        }

        @Test func jobsAreLimitedAndComeBack() throws {
            let daemon = try TestDaemon(Self.small)
            let source = try daemon.directory.noise("source", sectors: 64)
            let target = try daemon.directory.image("target", sectors: 64)
            let (connection, client) = try daemon.client(pages: 2, bytesPerSecond: 0)
            let jobs = try (0..<3).map {
                try connection.copy(client, source.region(UInt64($0), 1), [target.region(UInt64($0))])
            }
            let refusal = failure { _ = try connection.copy(client, source.region(8, 1), [target.region(8)]) }
            #expect(refusal == .limitExceeded(what: "jobs", limit: 3))
            try connection.setRate(client, nil)
            for job in jobs { #expect(try connection.wait(job: job)?.state == .done) }
            let next = try connection.copy(client, source.region(8, 1), [target.region(8)])
            #expect(try connection.wait(job: next)?.state == .done)
            #expect(daemon.stop() == 0)
        }

        @Test func endedJobsThatNobodyHearsOfAreLimitedForAllClientsTogether() throws {
            var limits = PeerLimits()
            limits.jobs = 100
            let daemon = try TestDaemon(limits)
            let source = try daemon.directory.image("source", sectors: 8)
            let target = try daemon.directory.image("target", sectors: 8)
            let connection = try daemon.connect()
            for _ in 0..<5 {
                let client = try connection.client(pages: 1)
                for _ in 0..<120 {
                    let job = try connection.copy(client, source.region(0, 0), [target.region(0, 0)])
                    #expect(try connection.wait(job: job)?.state == .done)
                }
            }
            let kept = daemon.control.tables.withLock { $0.jobs.count }
            #expect(kept <= 256 + limits.jobs)
            #expect(kept >= 256)
            #expect(daemon.stop() == 0)
        }

        @Test func namesAreCutToWhatIsKept() throws {
            let daemon = try TestDaemon()
            let image = try daemon.directory.image("image", sectors: 8)
            let file = try FileDescriptor.open(image.path, .readWrite, options: [.closeOnExec])
            defer { try? file.close() }
            let (connection, client) = try daemon.client(pages: 1)
            // One character of many scalars.
            let name = "a" + String(repeating: "\u{301}", count: 50_000)
            let region = CopyInterface.Region(descriptor: 0, name: name, count: 0)
            let job = try connection.call(
                CopyInterface.Zero.self, .init(client: client, regions: [region]), descriptors: [file]
            ).job
            let report = try #require(try connection.wait(job: job))
            #expect(report.destinations.allSatisfy { $0.utf8.count <= 2048 })
            #expect(daemon.stop() == 0)
        }

        @Test func devicesAreLimitedAndARefusedJobKeepsNoneOpen() throws {
            let daemon = try TestDaemon(Self.small)
            let images = try (0..<6).map { try daemon.directory.image("image\($0)", sectors: 8) }
            let (connection, client) = try daemon.client(pages: 2)
            let refusal = failure {
                _ = try connection.copy(client, images[0].region(), images[1...5].map { $0.region() })
            }
            #expect(refusal == .limitExceeded(what: "devices", limit: 4))
            for image in images { #expect(try image.isUnclaimed()) }
            let job = try connection.copy(client, images[0].region(), images[1...3].map { $0.region() })
            #expect(try connection.wait(job: job)?.state == .done)
            for image in images[..<4] {
                _ = try connection.call(CopyInterface.OpenDevice.self, .init(path: image.string))
            }
            #expect(
                failure { _ = try connection.call(CopyInterface.OpenDevice.self, .init(path: images[4].string)) }
                    == .limitExceeded(what: "devices", limit: 4))
            #expect(daemon.stop() == 0)
        }

        @Test func peersAreUsersButForTheSuperuserProcesses() {
            let book = AccountBook(Self.small)
            let user = book.account(of: PeerCredentials(processID: 1, userID: 1000, groupID: 1))
            #expect(user === book.account(of: PeerCredentials(processID: 2, userID: 1000, groupID: 2)))
            let root = book.account(of: PeerCredentials(processID: 1, userID: 0, groupID: 0))
            #expect(root !== book.account(of: PeerCredentials(processID: 2, userID: 0, groupID: 0)))
            #expect(root === book.account(of: PeerCredentials(processID: 1, userID: 0, groupID: 0)))
        }

        @Test func anAllowanceIsGivenBackOnceHoweverItGoes() throws {
            let book = AccountBook(Self.small)
            let peer = PeerCredentials(processID: 1, userID: 1000, groupID: 1)
            var account: PeerAccount? = book.account(of: peer)
            var pages: Allowance? = try account?.take(.pages, 4)
            #expect(book.pages == 4)
            pages?.release()
            pages?.release()
            #expect(book.pages == 0 && account?.holds(.pages) == 0)
            pages = try account?.take(.pages, 10)
            // What is counted keeps the account, though nobody else does.
            account = nil
            #expect(throws: CopyInterface.Failure.limitExceeded(what: "pages", limit: 10)) {
                try book.account(of: peer).take(.pages)
            }
            pages = nil
            #expect(book.pages == 0)
            #expect(book.account(of: peer).holds(.pages) == 0)
            withExtendedLifetime(pages) {}
        }

        @Test func othersSeeOnlyWhatIsTheirs() {
            let root = PeerCredentials(processID: 1, userID: 0, groupID: 0)
            let own = PeerCredentials(processID: 2, userID: geteuid(), groupID: 0)
            let alice = PeerCredentials(processID: 3, userID: geteuid() + 1000, groupID: 6)
            let bob = PeerCredentials(processID: 4, userID: geteuid() + 1001, groupID: 6)
            #expect(CopyControl.isTrusted(root) && CopyControl.isTrusted(own) && !CopyControl.isTrusted(alice))
            #expect(CopyControl.mayUse(root, ownedBy: alice) && CopyControl.mayUse(alice, ownedBy: alice))
            #expect(!CopyControl.mayUse(bob, ownedBy: alice) && !CopyControl.mayUse(alice, ownedBy: own))
        }
    }
}
