import ControlAPI
import Dispatch
import Glibc
import KCopy
import Logging
import Synchronization
import Varlink

extension CopyControl {
    /// Sets a client up. On the queue of `account`: locking pages in memory takes time.
    /// - Throws: `limitExceeded`, `refused`, `stopping`.
    func createClient(
        _ parameters: CopyInterface.CreateClient.Parameters, rate: CopyRate, peer: PeerCredentials, account: PeerAccount
    ) throws(CopyInterface.Failure) -> HostedClient {
        try requireRunning()
        let name = PeerLimits.name(parameters.name ?? "pid \(peer.processID)")
        guard parameters.pages > 0 else {
            throw .refused(object: name, reason: "\(parameters.pages) pages are too few: at least 1", errno: EINVAL)
        }
        guard parameters.pages <= CopyClient.mostPages else {
            throw .refused(
                object: name, reason: "\(parameters.pages) pages are too many: at most \(CopyClient.mostPages)",
                errno: EINVAL)
        }
        let allowances = [try account.take(.clients), try account.take(.pages, parameters.pages)]
        let number = tables.withLock { tables in
            tables.lastClient += 1
            return tables.lastClient
        }
        let profile = ClientProfile(
            number: number, name: name, priority: CopyPriority(parameters.priority ?? .resync), pages: parameters.pages,
            peer: peer, keep: parameters.keep ?? false, rate: rate)
        let copy: CopyClient
        do throws(CopyError) {
            copy = try CopyClient(service: service, pages: profile.pages, name: name, priority: profile.priority)
        } catch {
            throw CopyInterface.Failure(error)
        }
        let feed = ClientFeed(account: account) { [weak self] job in
            job.releaseAllowance()
            self?.forget(job.number)
        }
        let client = HostedClient(profile, copy, account: account, allowances: allowances, feed: feed)
        client.setRate(rate)
        try register(client)
        logger.debug(
            "client created", metadata: ["client": "\(number)", "pages": "\(profile.pages)", "peer": "\(peer)"])
        return client
    }

    private func register(_ client: HostedClient) throws(CopyInterface.Failure) {
        let isRegistered = tables.withLock { tables in
            guard tables.stop == nil else { return false }
            tables.clients[client.number] = ClientEntry(client: client)
            return true
        }
        guard isRegistered else {
            client.destroy()
            throw .stopping
        }
    }

    /// Takes no new jobs of a client, waits for those it has, and destroys it.
    /// - Parameters:
    ///   - cancel: whether its jobs are cancelled first.
    ///   - onGone: called when it is gone, on the reports' queue; at once, on no particular queue, where it is gone already.
    func end(_ number: Int, cancel: Bool, onGone: (@Sendable () -> Void)? = nil) {
        let client = tables.withLock { tables -> HostedClient? in
            guard let client = tables.clients[number]?.client else { return nil }
            tables.clients[number]?.isEnding = true
            if let onGone { tables.clients[number]?.onGone.append(onGone) }
            return client
        }
        guard let client else {
            onGone?()
            return
        }
        if cancel { cancelJobs(of: client) }
        reapIfIdle(number)
    }

    private func cancelJobs(of client: HostedClient) {
        let jobs = tables.withLock { tables in
            (tables.clients[client.number]?.running ?? []).compactMap { tables.jobs[$0]?.job }
        }
        // One by one as well: a job that is just being handed over is not the copy client's yet.
        for job in jobs { job.cancel() }
        client.copy?.cancelAll()
    }

    /// Destroys a client that is ending and has no job left.
    func reapIfIdle(_ number: Int) {
        let client = tables.withLock { tables -> HostedClient? in
            guard let entry = tables.clients[number], entry.isEnding, !entry.isReaped, entry.running.isEmpty else {
                return nil
            }
            tables.clients[number]?.isReaped = true
            return entry.client
        }
        guard let client else { return }
        reaper.async { [self] in
            client.destroy()
            let onGone = tables.withLock { $0.clients.removeValue(forKey: number)?.onGone ?? [] }
            logger.debug("client destroyed", metadata: ["client": "\(number)"])
            reports.finish(client.feed) { [self] in
                for action in onGone { action() }
                stopIfDone()
            }
        }
    }
}
