import BlockIO
import ControlAPI
import Dispatch
import Glibc
public import KCopy
public import Logging
import Synchronization
import SystemPackage
import Varlink

// The daemon's clients and jobs. Where things run:
//
//  - Handlers run on the queue of the caller's connection and only look things up.
//  - Whatever may block (opening, closing, setting pages aside) runs on the queue of the peer's account. All of one client
//    runs on one such queue, its owner's: that is what keeps the device shelf and the order of ended jobs right.
//  - Completions come on the client's queue and go on to the account's queue, where the devices are closed before anybody hears
//    that the job has ended: a copy that has ended can be mounted.
//  - Clients without jobs are destroyed on `reaper`.
//  - News goes out on the reports' queue.
//
// `tables` is what they share. It is locked for look-ups and changes only; nothing is called under it.
//
//     client:  alive ──(DestroyClient, end of the connection, stop)──► ending ──(no job left)──► destroyed ──► gone
//     job:     running ──(completion)──► closing its devices ──► remembered: among the last 256, or waiting to be watched ──► gone

/// The implementation of `io.ucopyd.Copy`.
public final class CopyControl: Sendable {
    struct ClientEntry {
        var client: HostedClient
        var running: Set<Int> = []
        var isEnding = false
        var isReaped = false
        var onGone: [@Sendable () -> Void] = []
    }

    struct JobEntry {
        var job: HostedJob
        /// Who needs it: its run or the remembered jobs, and the feed of its client.
        var keepers: Int
    }

    struct Tables {
        var clients: [Int: ClientEntry] = [:]
        var jobs: [Int: JobEntry] = [:]
        var remembered: [Int] = []
        var lastClient = 0
        var lastJob = 0
        var lastDevice = 0
        var stop: Stop?
    }

    /// How many ended jobs of the whole daemon are remembered.
    static let mostRemembered = 256

    let service: CopyService
    let limits: PeerLimits
    let book: AccountBook
    let logger: Logger
    let reports = Reports()
    let reaper = DispatchQueue(label: "reaper")
    let tables = Mutex(Tables())

    /// Shares a copy service among peers.
    public init(service: CopyService, limits: PeerLimits = PeerLimits(), logger: Logger) {
        self.service = service
        self.limits = limits
        self.book = AccountBook(limits)
        self.logger = logger
    }

    /// Pages set aside for all clients.
    public var pagesInUse: Int { book.pages }

    /// Whether a peer has the rights of the daemon: it may name paths and see what is others'.
    static func isTrusted(_ peer: PeerCredentials) -> Bool {
        peer.userID == 0 || peer.userID == geteuid()
    }

    static func mayUse(_ peer: PeerCredentials, ownedBy owner: PeerCredentials) -> Bool {
        isTrusted(peer) || peer.userID == owner.userID
    }
}

// MARK: - Looking things up

extension CopyControl {
    /// - Throws: `noSuchClient`, also where the client is none of the caller's.
    func client(_ number: Int, for peer: PeerCredentials) throws(CopyInterface.Failure) -> HostedClient {
        let client = tables.withLock { $0.clients[number]?.client }
        guard let client, Self.mayUse(peer, ownedBy: client.profile.peer) else { throw .noSuchClient(client: number) }
        return client
    }

    /// - Throws: `noSuchJob`, also where the job is none of the caller's.
    func job(_ number: Int, for peer: PeerCredentials) throws(CopyInterface.Failure) -> HostedJob {
        let job = tables.withLock { $0.jobs[number]?.job }
        guard let job, Self.mayUse(peer, ownedBy: job.client.peer) else { throw .noSuchJob(job: number) }
        return job
    }

    /// - Throws: `stopping`.
    func requireRunning() throws(CopyInterface.Failure) {
        if tables.withLock({ $0.stop != nil }) { throw .stopping }
    }

    /// What `List` shows a peer.
    func list(for peer: PeerCredentials) -> CopyInterface.List.Reply {
        let (clients, jobs) = tables.withLock { tables in
            let running = tables.clients.values.flatMap(\.running)
            return (
                tables.clients.values.map { ($0.client, $0.running.count) },
                Set(running + tables.remembered).compactMap { tables.jobs[$0]?.job }
            )
        }
        return CopyInterface.List.Reply(
            clients: clients.filter { Self.mayUse(peer, ownedBy: $0.0.profile.peer) }
                .map { $0.0.report(jobs: $0.1) }.sorted { $0.client < $1.client },
            jobs: jobs.filter { Self.mayUse(peer, ownedBy: $0.client.peer) }
                .map { $0.report() }.sorted { $0.job < $1.job })
    }
}

extension CopyInterface.Failure {
    init(_ error: CopyError) {
        self = .refused(object: error.object, reason: error.reason, errno: error.errno.rawValue)
    }
}
