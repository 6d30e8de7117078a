import BlockIO
import ControlAPI
import Dispatch
import Glibc
import KCopy
import Synchronization
import Varlink

/// What a job is to be, with its devices open.
struct JobPlan {
    var source: IORegion?
    var destinations: [IORegion]
    var sourceName: String?
    var destinationNames: [String]
    /// Each taken once for the job.
    var devices: [SharedDevice]
}

extension CopyControl {
    /// Starts a job. On the queue of the client's account.
    /// - Throws: any failure; nothing is started then and nothing stays open.
    func start(
        _ kind: CopyInterface.Kind, _ regions: JobRegions, options: CopyInterface.Options, client: HostedClient
    ) throws(CopyInterface.Failure) -> HostedJob {
        try requireRunning()
        let allowance = try client.account.take(.jobs)
        let plan = try regions.open(client: client, claim: options.force != true)
        let job: HostedJob
        do throws(CopyInterface.Failure) {
            job = try register(kind, plan, client, allowance)
        } catch {
            plan.devices.forEach { $0.release() }
            throw error
        }
        do throws(CopyError) {
            try submit(job, plan, CopyFlags(options), client)
        } catch {
            withdraw(job, client)
            throw CopyInterface.Failure(error)
        }
        return job
    }

    private func register(
        _ kind: CopyInterface.Kind, _ plan: JobPlan, _ client: HostedClient, _ allowance: Allowance
    ) throws(CopyInterface.Failure) -> HostedJob {
        let sectors = plan.destinations.first?.range.count ?? 0
        let job = tables.withLock { tables -> HostedJob? in
            guard tables.stop == nil, tables.clients[client.number]?.isEnding == false else { return nil }
            tables.lastJob += 1
            let job = HostedJob(
                number: tables.lastJob, client: client.profile, kind: kind, source: plan.sourceName,
                destinations: plan.destinationNames,
                totalBytes: sectors.multipliedReportingOverflow(by: 512).partialValue,
                devices: plan.devices, allowance: allowance)
            tables.jobs[job.number] = JobEntry(job: job, keepers: 1)
            tables.clients[client.number]?.running.insert(job.number)
            return job
        }
        if let job { return job }
        try requireRunning()
        throw .noSuchClient(client: client.number)
    }

    private func submit(
        _ job: HostedJob, _ plan: JobPlan, _ flags: CopyFlags, _ client: HostedClient
    ) throws(CopyError) {
        // A client with a registered job is not destroyed.
        guard let copy = client.copy else { preconditionFailure("job \(job.number) of a client that is destroyed") }
        let completion: @Sendable (CopyResult) -> Void = { [self] result in completed(job, result, client) }
        if let source = plan.source {
            job.attach(try copy.copy(from: source, to: plan.destinations, flags: flags, completion: completion))
        } else {
            job.attach(try copy.zero(plan.destinations, flags: flags, completion: completion))
        }
    }

    /// Undoes the registration of a job that was refused.
    private func withdraw(_ job: HostedJob, _ client: HostedClient) {
        job.releaseDevices()
        job.releaseAllowance()
        tables.withLock { tables in
            tables.jobs[job.number] = nil
            _ = tables.clients[client.number]?.running.remove(job.number)
        }
        reapIfIdle(client.number)
        stopIfDone()
    }

    /// On the client's own queue.
    private func completed(_ job: HostedJob, _ result: CopyResult, _ client: HostedClient) {
        job.finish(result)
        client.account.queue.async { [self] in
            job.releaseDevices()
            settle(job, client)
        }
    }

    private func settle(_ job: HostedJob, _ client: HostedClient) {
        tables.withLock { tables in
            _ = tables.clients[client.number]?.running.remove(job.number)
            // One for the remembered jobs, which takes the place of the run's, and one for the feed.
            tables.jobs[job.number]?.keepers += 1
            tables.remembered.append(job.number)
            if tables.remembered.count > Self.mostRemembered {
                let oldest = tables.remembered.removeFirst()
                tables.release(oldest)
            }
        }
        reports.announce(job, client.feed)
        reapIfIdle(client.number)
        stopIfDone()
    }

    /// The feed of a job's client needs it no longer.
    func forget(_ number: Int) {
        tables.withLock { $0.release(number) }
    }
}

extension CopyControl.Tables {
    /// Forgets a job that nobody else needs.
    mutating func release(_ number: Int) {
        guard let keepers = jobs[number]?.keepers else { return }
        if keepers > 1 { jobs[number]?.keepers = keepers - 1 } else { jobs[number] = nil }
    }
}

extension CopyFlags {
    init(_ options: CopyInterface.Options) {
        self = []
        let asked: [(Bool?, CopyFlags)] = [
            (options.ignoreErrors, .ignoreErrors), (options.sequential, .sequential), (options.skipHoles, .skipHoles),
            (options.detectZeroes, .detectZeroes), (options.verify, .verify), (options.flush, .flush),
        ]
        for (isWanted, flag) in asked where isWanted == true { insert(flag) }
    }
}
