import Dispatch
import Varlink

/// Who waits for news, and the queue on which news is given out.
///
/// `@unchecked Sendable`: `watchers` is used on `queue` only.
final class Reports: @unchecked Sendable {
    let queue = DispatchQueue(label: "reports")
    private var watchers: [Int: [JobWatcher]] = [:]

    /// Answers a call when a job has ended; before that, with an interval in milliseconds, tells how far it is.
    func watch(_ job: HostedJob, _ call: VarlinkCall, _ form: JobWatcher.Form, interval: Int? = nil) {
        queue.async { [self] in
            let watcher = JobWatcher(job, call, form)
            guard !job.isAnnounced else { return watcher.finish() }
            watchers[job.number, default: []].append(watcher)
            call.onCancel { [self] in queue.async { [self] in remove(watcher) } }
            if let interval { watcher.startProgress(interval: interval, on: queue) }
        }
    }

    /// Tells a call of every job of a client that ends.
    func watch(_ feed: ClientFeed, _ call: VarlinkCall) {
        queue.async { [self] in
            let watcher = ClientWatcher(call, feed, queue: queue)
            call.onCancel { [self] in queue.async { feed.remove(watcher) } }
            feed.add(watcher)
        }
    }

    /// Tells everybody concerned that a job has ended. For jobs of one client, called in the order in which they ended.
    func announce(_ job: HostedJob, _ feed: ClientFeed) {
        queue.async { [self] in
            job.isAnnounced = true
            watchers.removeValue(forKey: job.number)?.forEach { $0.finish() }
            feed.append(job)
        }
    }

    /// Ends a feed after all that was announced to it.
    func finish(_ feed: ClientFeed, completion: @escaping @Sendable () -> Void) {
        queue.async {
            feed.finish()
            completion()
        }
    }

    private func remove(_ watcher: JobWatcher) {
        let number = watcher.job.number
        guard let index = watchers[number]?.firstIndex(where: { $0 === watcher }) else { return }
        watchers[number]?.remove(at: index)
        if watchers[number]?.isEmpty == true { watchers[number] = nil }
        watcher.finish()
    }
}
