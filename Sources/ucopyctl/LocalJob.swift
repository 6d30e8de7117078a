import BlockIO
import ControlAPI
import KCopy

/// A job in this process.
struct LocalJob: RunningJob {
    private let client: CopyClient
    private let job: CopyJob
    private let devices: [BlockDevice]

    init(_ order: JobOrder, engine: EngineChoice, _ mailbox: Mailbox) throws(Failure) {
        let plan = order.plan
        devices = ((plan.source.map { [$0] } ?? []) + plan.destinations).map(\.device)
        let start = Clock.seconds()
        let completion: @Sendable (CopyResult) -> Void = {
            [sectors = plan.sectors, count = plan.destinations.count] result in
            let seconds = Clock.seconds() - start
            mailbox.post(.ended(JobReport(result, sectors: sectors, destinations: count, seconds: seconds)))
        }
        do {
            let service = try CopyService(engine: engine, lanes: 1)
            client = try CopyClient(
                service: service, pages: order.pages, name: "ucopyctl", priority: CopyPriority(order.priority),
                rate: order.rate)
            job =
                if let source = plan.source {
                    try client.copy(from: source, to: plan.destinations, flags: order.flags, completion: completion)
                } else {
                    try client.zero(plan.destinations, flags: order.flags, completion: completion)
                }
        } catch let error as CopyError {
            throw Failure(error, order.verb)
        } catch let error as BlockError {
            throw Failure(error)
        } catch {
            throw Failure("copy service", order.verb, "\(error)")
        }
    }

    var bytesDone: UInt64? { job.progress.done << UInt64(Sector.shift) }

    func cancel() { job.cancel() }

    /// Lets go of the devices. The lane ends with the process, but its ring would go on holding them,
    /// and their claims, for a moment after that: whoever opens them next would find them busy.
    func end() {
        client.destroy()
        for device in devices { device.close() }
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
