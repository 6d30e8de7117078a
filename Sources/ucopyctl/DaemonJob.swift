import BlockIO
import ControlAPI
import Dispatch
import KCopy
import SystemPackage

/// A job in the daemon.
///
/// One connection holds the client and watches the job. Cancelling takes a second one, because a
/// call that watches occupies its connection until the job has ended.
struct DaemonJob: RunningJob {
    private let number: Int
    private let options: ConnectionOptions
    private let mailbox: Mailbox

    /// Starts the job and watches it.
    /// - Parameter watched: whether anybody wants to know more than the end.
    init(_ order: JobOrder, _ options: ConnectionOptions, watched: Bool, _ mailbox: Mailbox) throws(Failure) {
        let connection = try options.connect(canCopyLocally: true)
        number = try Self.submit(order, to: connection, keep: false)
        self.options = options
        self.mailbox = mailbox
        DispatchQueue(label: "watch").async { [number] in
            mailbox.post(Self.watch(number, on: connection, watched: watched, mailbox))
        }
    }

    var bytesDone: UInt64? { nil }

    /// The daemon gives the job's devices back by itself; this process's go with it.
    func end() {}

    func cancel() {
        DispatchQueue(label: "cancel").async { [self] in
            do {
                let connection = try options.connect()
                do throws(ControlError) {
                    _ = try connection.call(CopyInterface.Cancel.self, CopyInterface.JobReply(job: number))
                } catch {
                    throw Failure(error, "cancel")
                }
            } catch let failure as Failure {
                mailbox.post(.lost(failure))
            } catch {
                mailbox.post(.lost(Failure("job \(number)", "cancel", "\(error)")))
            }
        }
    }

    /// Hands a job over to the daemon, its devices as descriptors.
    /// - Parameter keep: whether it goes on without this process.
    /// - Returns: the job's number.
    static func submit(_ order: JobOrder, to connection: ControlConnection, keep: Bool) throws(Failure) -> Int {
        var passed = PassedRegions()
        let source = order.plan.source.map { passed.add($0) }
        let destinations = order.plan.destinations.map { passed.add($0) }
        do throws(ControlError) {
            let client = try connection.call(
                CopyInterface.CreateClient.self,
                CopyInterface.CreateClient.Parameters(
                    pages: order.pages, name: "ucopyctl", priority: order.priority,
                    bytesPerSecond: order.rate.bytesPerSecond, percent: order.rate.percent, keep: keep)
            ).client
            let options = CopyInterface.Options(order.flags, force: order.force)
            guard let source else {
                return try connection.call(
                    CopyInterface.Zero.self,
                    CopyInterface.Zero.Parameters(client: client, regions: destinations, options: options),
                    descriptors: passed.descriptors
                ).job
            }
            return try connection.call(
                CopyInterface.Copy.self,
                CopyInterface.Copy.Parameters(
                    client: client, source: source, destinations: destinations, options: options),
                descriptors: passed.descriptors
            ).job
        } catch {
            throw Failure(error, order.verb)
        }
    }

    /// Follows the job to its end, which is returned as the event that it is.
    private static func watch(_ number: Int, on connection: ControlConnection, watched: Bool, _ mailbox: Mailbox)
        -> JobEvent
    {
        do throws(ControlError) {
            let last =
                watched
                ? try connection.watch(job: number, interval: ProgressReporter.interval) { job in
                    mailbox.post(.progress(done: job.bytes))
                    return true
                }
                : try connection.wait(job: number)
            guard let last, last.state != .running else {
                return .lost(Failure("job \(number)", "watch", "the daemon does not know how it ended"))
            }
            return .ended(JobReport(last))
        } catch {
            var failure = Failure(error, "watch job \(number)")
            failure.reason += "; the job is cancelled with its connection, its destinations are incomplete"
            return .lost(failure)
        }
    }
}

/// Regions as they go over the socket, with the descriptors they refer to.
private struct PassedRegions {
    /// Valid as long as the devices are open.
    private(set) var descriptors: [FileDescriptor] = []

    mutating func add(_ region: IORegion) -> CopyInterface.Region {
        defer { descriptors.append(region.device.descriptor) }
        return CopyInterface.Region(
            descriptor: descriptors.count, name: region.device.path, sector: region.range.start,
            count: region.range.count)
    }
}

extension CopyInterface.Options {
    init(_ flags: CopyFlags, force: Bool) {
        self.init(
            ignoreErrors: flags.contains(.ignoreErrors), sequential: flags.contains(.sequential),
            skipHoles: flags.contains(.skipHoles), detectZeroes: flags.contains(.detectZeroes),
            verify: flags.contains(.verify), flush: flags.contains(.flush), force: force)
    }
}
