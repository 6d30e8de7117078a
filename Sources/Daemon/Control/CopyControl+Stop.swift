import Dispatch
import Logging
import Synchronization

/// What becomes of running jobs when the daemon stops.
public enum StopPolicy: String, CaseIterable, Sendable {
    /// They run to their end.
    case finish
    /// They are cancelled.
    case cancel
}

extension CopyControl {
    /// How far stopping is.
    struct Stop {
        var isCancelling = false
        var completion: (@Sendable (_ hanging: Int) -> Void)?
    }

    /// How long cancelled jobs may take to end: their I/O cannot be called back.
    static let cancelTimeout = DispatchTimeInterval.seconds(10)

    /// Takes no new work, finishes or cancels the jobs, and destroys the clients.
    /// - Parameters:
    ///   - timeout: after this many seconds, jobs that were to finish are cancelled.
    ///   - completion: called once when everything is gone, or when cancelled jobs do not end; with the number of clients
    ///     that are left.
    public func stop(_ policy: StopPolicy, timeout: Int, completion: @escaping @Sendable (_ hanging: Int) -> Void) {
        let jobs = tables.withLock { tables in
            tables.stop = Stop(completion: completion)
            return tables.clients.values.reduce(0) { $0 + $1.running.count }
        }
        logger.notice("stopping", metadata: ["jobs": "\(jobs)", "policy": "\(policy.rawValue)"])
        guard policy == .finish, jobs > 0 else { return cancelEverything() }
        reports.queue.asyncAfter(deadline: .now() + .seconds(timeout)) { [weak self] in
            self?.cancelEverything(because: "they have not finished in \(timeout) s")
        }
        stopIfDone()
    }

    /// Cancels what `stop` lets finish. Without effect before `stop`, and when called again.
    /// - Parameter reason: why, for the log; nil where nothing needs to be said.
    public func cancelEverything(because reason: String? = nil) {
        let clients = tables.withLock { tables -> [Int]? in
            guard tables.stop?.isCancelling == false else { return nil }
            tables.stop?.isCancelling = true
            return Array(tables.clients.keys)
        }
        guard let clients else { return }
        if let reason { logger.notice("cancelling the jobs", metadata: ["reason": "\(reason)"]) }
        for client in clients { end(client, cancel: true) }
        reports.queue.asyncAfter(deadline: .now() + Self.cancelTimeout) { [weak self] in self?.completeStop() }
        stopIfDone()
    }

    /// Goes on with stopping when jobs or clients have ended.
    func stopIfDone() {
        let (isStopping, isIdle, isEmpty) = tables.withLock { tables in
            (
                tables.stop != nil, tables.clients.values.allSatisfy { $0.running.isEmpty },
                tables.clients.isEmpty
            )
        }
        guard isStopping else { return }
        if isEmpty { completeStop() } else if isIdle { cancelEverything() }
    }

    private func completeStop() {
        let (completion, left) = tables.withLock { tables in
            defer { tables.stop?.completion = nil }
            return (tables.stop?.completion, tables.clients.count)
        }
        // After the last news.
        if let completion { reports.queue.async { completion(left) } }
    }
}
