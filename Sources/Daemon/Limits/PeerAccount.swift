import ControlAPI
import Dispatch
import Synchronization
import Varlink

/// Who is held to one set of limits.
struct PeerKey: Hashable, Sendable {
    var user: UInt32
    /// The process, for the superuser; 0 for others.
    var process: Int32

    init(_ peer: PeerCredentials) {
        user = peer.userID
        process = peer.userID == 0 ? peer.processID : 0
    }
}

/// What is counted.
enum Resource: Hashable, Sendable {
    case clients, jobs, devices, pages
    /// Jobs that have ended and wait for a first watcher of their client.
    case untold
}

/// What one peer holds, and the queue for its work that may block.
///
/// Opening and closing may wait for whoever implements a file (FUSE, a network file system); on this queue such a wait
/// is the peer's own trouble.
final class PeerAccount: Sendable {
    let key: PeerKey
    let queue: DispatchQueue
    private let book: AccountBook
    private let held = Mutex<[Resource: Int]>([:])

    fileprivate init(_ key: PeerKey, _ book: AccountBook) {
        self.key = key
        self.book = book
        queue = DispatchQueue(label: "peer.\(key.user).\(key.process)")
    }

    deinit { book.forget(key) }

    /// Counts `amount` of a resource in.
    /// - Throws: `limitExceeded`, with the limit that it would go beyond.
    func take(_ what: Resource, _ amount: Int = 1) throws(CopyInterface.Failure) -> Allowance {
        let limit = book.limit(of: what)
        let granted = held.withLock { held in
            let now = held[what, default: 0]
            guard amount <= limit - now else { return false }
            held[what] = now + amount
            return true
        }
        guard granted else { throw .limitExceeded(what: "\(what)", limit: limit) }
        if what == .pages {
            do throws(CopyInterface.Failure) {
                try book.takePages(amount)
            } catch {
                giveBack(what, amount)
                throw error
            }
        }
        return Allowance(account: self, what: what, amount: amount)
    }

    fileprivate func release(_ what: Resource, _ amount: Int) {
        giveBack(what, amount)
        if what == .pages { book.releasePages(amount) }
    }

    private func giveBack(_ what: Resource, _ amount: Int) {
        held.withLock { held in
            let left = held[what, default: 0] - amount
            precondition(left >= 0, "peer \(key) gave back \(amount) \(what) and holds \(left + amount)")
            held[what] = left
        }
    }

    /// How much of a resource is held now.
    func holds(_ what: Resource) -> Int { held.withLock { $0[what, default: 0] } }
}

/// Something that a peer was granted. It is given back once: by `release()`, or when the last reference goes.
final class Allowance: Sendable {
    private let account: PeerAccount
    private let what: Resource
    private let amount: Int
    private let isReleased = Atomic<Bool>(false)

    fileprivate init(account: PeerAccount, what: Resource, amount: Int) {
        self.account = account
        self.what = what
        self.amount = amount
    }

    deinit { release() }

    /// Gives it back; again does nothing.
    func release() {
        if !isReleased.exchange(true, ordering: .acquiringAndReleasing) { account.release(what, amount) }
    }
}

/// The accounts of all peers. An account lives as long as a connection or anything counted on it does.
final class AccountBook: Sendable {
    private struct Entry {
        weak var account: PeerAccount?
    }
    private struct State {
        var accounts: [PeerKey: Entry] = [:]
        var pages = 0
    }

    private let limits: PeerLimits
    private let state = Mutex(State())

    init(_ limits: PeerLimits) { self.limits = limits }

    /// The account of a peer; made where there is none.
    func account(of peer: PeerCredentials) -> PeerAccount {
        let key = PeerKey(peer)
        return state.withLock { state in
            if let account = state.accounts[key]?.account { return account }
            let account = PeerAccount(key, self)
            state.accounts[key] = Entry(account: account)
            return account
        }
    }

    /// Pages of all peers.
    var pages: Int { state.withLock { $0.pages } }

    fileprivate func forget(_ key: PeerKey) {
        // A new account of the same peer may have taken the place of the one that goes. It is let go outside the lock:
        // this may be the last reference to it.
        let successor = state.withLock { state in
            let account = state.accounts[key]?.account
            if account == nil { state.accounts[key] = nil }
            return account
        }
        _ = consume successor
    }

    fileprivate func limit(of what: Resource) -> Int {
        switch what {
        case .clients: limits.clients
        case .jobs, .untold: limits.jobs
        case .devices: limits.devices
        case .pages: limits.pages
        }
    }

    fileprivate func takePages(_ amount: Int) throws(CopyInterface.Failure) {
        let granted = state.withLock { state in
            guard amount <= limits.totalPages - state.pages else { return false }
            state.pages += amount
            return true
        }
        guard granted else { throw .limitExceeded(what: "pages of all clients", limit: limits.totalPages) }
    }

    fileprivate func releasePages(_ amount: Int) {
        state.withLock { $0.pages -= amount }
    }
}
