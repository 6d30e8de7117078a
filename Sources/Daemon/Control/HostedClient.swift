import ControlAPI
import KCopy
import Synchronization
import Varlink

/// What is known of a client, also by its jobs after it has gone.
final class ClientProfile: Sendable {
    let number: Int
    let name: String
    let priority: CopyPriority
    let pages: Int
    let peer: PeerCredentials
    /// Whether its jobs outlive its connection.
    let keep: Bool
    let rate: Mutex<CopyRate>

    init(
        number: Int, name: String, priority: CopyPriority, pages: Int, peer: PeerCredentials, keep: Bool, rate: CopyRate
    ) {
        self.number = number
        self.name = name
        self.priority = priority
        self.pages = pages
        self.peer = peer
        self.keep = keep
        self.rate = Mutex(rate)
    }
}

/// A client of the copy service on behalf of a peer.
final class HostedClient: Sendable {
    let profile: ClientProfile
    /// Let go of when it is destroyed: whoever still holds this object then must not hold its pages.
    private let hosted: Mutex<CopyClient?>
    private let isLocked: Bool
    /// Whose limits its jobs and devices count against.
    let account: PeerAccount
    let shelf = DeviceShelf()
    let feed: ClientFeed
    private let allowances: [Allowance]

    init(_ profile: ClientProfile, _ copy: CopyClient, account: PeerAccount, allowances: [Allowance], feed: ClientFeed)
    {
        self.profile = profile
        self.hosted = Mutex(copy)
        self.isLocked = copy.isLocked
        self.account = account
        self.allowances = allowances
        self.feed = feed
    }

    var number: Int { profile.number }
    /// The copy service's client; nil when it is destroyed.
    var copy: CopyClient? { hosted.withLock { $0 } }

    func setRate(_ rate: CopyRate) {
        profile.rate.withLock { $0 = rate }
        copy?.setRate(rate)
    }

    /// Lifts a rate that holds the jobs: whoever waits for them would wait for ever.
    func liftHold() {
        let rate = profile.rate.withLock { $0 }
        if rate.percent == 0 || rate.bytesPerSecond == 0 { setRate(.unlimited) }
    }

    /// Gives the pages back. Blocks for the last callback; no job may be outstanding.
    func destroy() {
        copy?.destroy()
        hosted.withLock { $0 = nil }
        allowances.forEach { $0.release() }
    }

    /// The client as `List` shows it.
    func report(jobs: Int) -> CopyInterface.Client {
        let rate = profile.rate.withLock { $0 }
        return CopyInterface.Client(
            client: number, name: profile.name, priority: CopyInterface.Priority(profile.priority),
            pages: profile.pages, locked: isLocked, pid: profile.peer.processID, uid: profile.peer.userID,
            keep: profile.keep, bytesPerSecond: rate.bytesPerSecond, percent: rate.percent, jobs: jobs)
    }
}

extension CopyInterface.Priority {
    init(_ priority: CopyPriority) {
        self =
            switch priority {
            case .copyOnWrite: .copyOnWrite
            case .resync: .resync
            case .scrub: .scrub
            }
    }
}

extension CopyPriority {
    init(_ priority: CopyInterface.Priority) {
        self =
            switch priority {
            case .copyOnWrite: .copyOnWrite
            case .resync: .resync
            case .scrub: .scrub
            }
    }
}
