import ControlAPI
import Dispatch
import Varlink

// Which ended jobs somebody still has to hear of.
//
// While nobody watches a client, its ended jobs wait in the backlog; the first watcher gets them, and from then on every watcher has its own
// list of what it has not been sent. What a watcher that goes away was not sent returns to the backlog if it was the only one.
//
// A client that has never been watched may never be: its ended jobs count against another limit of the peer, of the same size, and
// where that is reached its backlog is cut from the old end. Once it was watched nothing is dropped; instead its ended jobs count against the peer's limit of jobs until they are sent, and new ones are refused.

/// The ended jobs of one client, for its watchers.
///
/// `@unchecked Sendable`: used on the reports' queue only.
final class ClientFeed: @unchecked Sendable {
    private let account: PeerAccount
    /// Called for each job when it has been sent, or will never be.
    private let onSettled: @Sendable (HostedJob) -> Void
    private var backlog: [HostedJob] = []
    private var unsent: Set<Int> = []
    private var watchers: [ClientWatcher] = []
    private var wasWatched = false
    private var isFinished = false

    init(account: PeerAccount, onSettled: @escaping @Sendable (HostedJob) -> Void) {
        self.account = account
        self.onSettled = onSettled
    }

    /// Takes a job that has ended.
    func append(_ job: HostedJob) {
        unsent.insert(job.number)
        guard watchers.isEmpty else {
            for watcher in watchers { watcher.send([job]) }
            return
        }
        backlog.append(job)
        guard !wasWatched else { return }
        while !backlog.isEmpty, !job.countAsUntold(account) { settle(backlog.removeFirst()) }
    }

    /// Sends everything that waits, and everything that comes, to a watcher.
    func add(_ watcher: ClientWatcher) {
        guard !isFinished else { return watcher.finish() }
        wasWatched = true
        watchers.append(watcher)
        let waiting = backlog
        backlog = []
        watcher.send(waiting)
    }

    /// Forgets a watcher whose peer has gone.
    func remove(_ watcher: ClientWatcher) {
        guard let index = watchers.firstIndex(where: { $0 === watcher }) else { return }
        watchers.remove(at: index)
        let left = watcher.abandon()
        if watchers.isEmpty, !isFinished {
            backlog = left + backlog
        } else if watchers.isEmpty {
            left.forEach(settle)
        }
    }

    /// The client is gone: watchers get what they have not been sent yet, and the end.
    func finish() {
        isFinished = true
        backlog.forEach(settle)
        backlog = []
        for watcher in watchers { watcher.finish() }
    }

    /// A watcher has sent a job.
    func settle(_ job: HostedJob) {
        if unsent.remove(job.number) != nil { onSettled(job) }
    }
}

/// Somebody who hears of every ended job of a client.
///
/// `@unchecked Sendable`: used on the reports' queue only.
final class ClientWatcher: @unchecked Sendable {
    /// How much may be under way to a peer that has not read it; below the size at which its connection is dropped.
    private static let mostUnread = 256 * 1024
    /// When to look again whether the peer has read.
    private static let pause = DispatchTimeInterval.milliseconds(2)

    private let call: VarlinkCall
    private let feed: ClientFeed
    private let queue: DispatchQueue
    private var pending: [HostedJob] = []
    private var unread = 0
    private var isPausing = false
    private var isEnding = false
    private var isDone = false

    init(_ call: VarlinkCall, _ feed: ClientFeed, queue: DispatchQueue) {
        self.call = call
        self.feed = feed
        self.queue = queue
    }

    /// Sends jobs, now or as soon as the peer has read enough.
    func send(_ jobs: [HostedJob]) {
        pending += jobs
        pump()
    }

    /// Sends the end after what is pending.
    func finish() {
        isEnding = true
        pump()
    }

    /// Ends without a word. Returns what was not sent.
    func abandon() -> [HostedJob] {
        guard !isDone else { return [] }
        isDone = true
        call.reply()
        defer { pending = [] }
        return pending
    }

    private func pump() {
        guard !isDone else { return }
        var count = 0
        while count < pending.count, !call.isCancelled, hasRoom() {
            let report = pending[count].report()
            feed.settle(pending[count])
            unread += report.approximateSize
            call.reply(CopyInterface.Watch.Reply(job: report), continues: true)
            count += 1
        }
        pending.removeFirst(count)
        if pending.isEmpty {
            guard isEnding else { return }
            isDone = true
            call.reply(CopyInterface.Watch.Reply(job: nil))
        } else if !call.isCancelled {
            pause()
        }
    }

    private func hasRoom() -> Bool {
        if unread >= Self.mostUnread, call.canSend { unread = 0 }
        return unread < Self.mostUnread
    }

    private func pause() {
        guard !isPausing else { return }
        isPausing = true
        queue.asyncAfter(deadline: .now() + Self.pause) { [self] in
            isPausing = false
            pump()
        }
    }
}

extension CopyInterface.Job {
    /// About how long it is as JSON.
    fileprivate var approximateSize: Int {
        let texts = name.utf8.count + (source?.utf8.count ?? 0) + destinations.reduce(0) { $0 + $1.utf8.count }
        return 512 + 2 * texts + 160 * faults.count
    }
}
