import BlockIO
import ControlAPI
import Dispatch
import Glibc
import KCopy
import Synchronization
import SystemPackage
import Varlink

/// A client whose work is done by the daemon.
///
/// Two connections: calls go over one, and the client and its devices end with it; over the other a
/// thread hears of the ends of jobs, and hands them to the client's queue in the daemon's order. A
/// callback that takes its time therefore never keeps the daemon waiting.
final class HostedClient: CopyBackend {
    private let calls: ControlConnection
    private let ends: ControlConnection
    private let number: Int
    private let devices: HostedDevices
    private let jobs = Mutex(HostedJobs())
    /// Runs the callbacks.
    private let queue = DispatchQueue(label: "kcopyd.client")
    private let isOnQueue = DispatchSpecificKey<Bool>()
    /// Counts calls and jobs, until the callback has returned.
    private let outstanding = DispatchGroup()
    /// Entered while the thread runs.
    private let listening = DispatchGroup()

    /// Connects, and sets pages aside at the daemon.
    /// - Throws: why nobody answers, or what the daemon says.
    init(socket: FilePath, pages: UInt32) throws(CallError) {
        do throws(ControlError) {
            calls = try ControlConnection(path: socket)
            ends = try ControlConnection(path: socket)
            let parameters = CopyInterface.CreateClient.Parameters(pages: Int(pages), name: "kcopyd")
            number = try calls.call(CopyInterface.CreateClient.self, parameters).client
        } catch {
            throw CallError(Errno(rawValue: error.errno))
        }
        devices = HostedDevices(calls)
        queue.setSpecific(key: isOnQueue, value: true)
        listening.enter()
        do throws(CallError) {
            try Thread.start { self.listen() }
        } catch {
            listening.leave()
            calls.shutdown()
            throw error
        }
    }

    func start(
        _ request: CopyRequest, completion: @escaping @Sendable (JobOutcome) -> Void
    ) throws(CallError) -> any RunningJob {
        try jobs.withLock { jobs throws(CallError) in
            try jobs.beginCall()
            outstanding.enter()
        }
        do throws(CallError) {
            try request.beginUse()
            do throws(ControlError) {
                let job = try submit(request)
                let submission = HostedJobs.Submission(request: request, completion: completion)
                deliver { $0.endCall((job, submission)) }
                return HostedJob(connection: calls, number: job)
            } catch {
                request.endUse()
                throw refusal(error)
            }
        } catch {
            deliver { $0.endCall(nil) }
            outstanding.leave()
            throw error
        }
    }

    private func submit(_ request: CopyRequest) throws(ControlError) -> Int {
        let source: CopyInterface.Region? =
            if let source = request.source { try devices.region(source) } else { nil }
        var destinations: [CopyInterface.Region] = []
        for destination in request.destinations { destinations.append(try devices.region(destination)) }
        let options = CopyInterface.Options(request.flags)
        guard let source else {
            let parameters = CopyInterface.Zero.Parameters(client: number, regions: destinations, options: options)
            return try calls.call(CopyInterface.Zero.self, parameters).job
        }
        let parameters = CopyInterface.Copy.Parameters(
            client: number, source: source, destinations: destinations, options: options)
        return try calls.call(CopyInterface.Copy.self, parameters).job
    }

    func setRate(_ rate: CopyRate) throws(CallError) {
        let parameters = CopyInterface.SetRate.Parameters(
            client: number, bytesPerSecond: rate.bytesPerSecond, percent: rate.percent)
        do throws(ControlError) {
            _ = try calls.call(CopyInterface.SetRate.self, parameters)
        } catch {
            throw refusal(error)
        }
    }

    func destroy() {
        jobs.withLock { $0.close() }
        if DispatchQueue.getSpecific(key: isOnQueue) == true {
            outstanding.notify(queue: .global()) { self.end() }
        } else {
            outstanding.wait()
            end()
        }
    }

    /// Ends the client, which has no jobs any more.
    private func end() {
        // A daemon that has gone has given the pages back, too.
        _ = try? calls.call(
            CopyInterface.DestroyClient.self, CopyInterface.DestroyClient.Parameters(client: number))
        calls.shutdown()
        ends.shutdown()
        listening.wait()
    }

    /// The thread: hears of ends until the connection ends.
    private func listen() {
        // Why it ended makes no difference: no more ends will be heard of.
        try? ends.watch(client: number) { job in
            deliver { $0.end(job) }
            return true
        }
        lose()
        listening.leave()
    }

    private func lose() {
        deliver { $0.lose(CallError(.socketNotConnected)) }
    }

    /// What a call that failed answers.
    private func refusal(_ error: ControlError) -> CallError {
        switch error {
        case .connection:
            lose()
            return CallError(.socketNotConnected)
        case .failure(.noSuchClient):
            return CallError(.socketNotConnected)
        // An argument is wrong, whatever resource's number says how.
        case .failure(.refused(_, _, ENOSPC)):
            return CallError(.invalidArgument)
        case .failure, .target, .reply:
            return CallError(Errno(rawValue: error.errno))
        }
    }

    /// Changes the jobs, and has the queue call back for those that have ended by it. Under the lock,
    /// so that ends reach the queue in the order in which they were found.
    private func deliver(_ change: (inout HostedJobs) -> [HostedJobs.Ended]) {
        jobs.withLock { jobs in
            for ended in change(&jobs) {
                queue.async { [self] in
                    ended.submission.request.endUse()
                    ended.submission.completion(ended.outcome)
                    outstanding.leave()
                }
            }
        }
    }
}

/// A job at the daemon.
private struct HostedJob: RunningJob {
    var connection: ControlConnection
    var number: Int

    /// Sends the cancel and does not wait for the answer: the job's end is told as any other.
    func cancel() {
        // A job whose daemon has gone has ended.
        try? connection.varlink.callOneway(
            CopyInterface.Cancel.method, CopyInterface.Cancel.Parameters(job: number))
    }
}

extension CopyRequest {
    private var devices: [BlockDevice] { (source.map { [$0.device] } ?? []) + destinations.map(\.device) }

    /// Keeps the devices open here until the job has ended there.
    /// - Throws: EBADF for one that is closed.
    fileprivate func beginUse() throws(CallError) {
        let devices = devices
        for (index, device) in devices.enumerated() {
            do throws(BlockError) { try device.beginUse() } catch {
                for used in devices[..<index] { used.endUse() }
                throw CallError(error)
            }
        }
    }

    fileprivate func endUse() {
        for device in devices { device.endUse() }
    }
}

extension CopyInterface.Options {
    fileprivate init(_ flags: CopyFlags) {
        self.init(
            ignoreErrors: flags.contains(.ignoreErrors), sequential: flags.contains(.sequential),
            skipHoles: flags.contains(.skipHoles), detectZeroes: flags.contains(.detectZeroes),
            verify: flags.contains(.verify), flush: flags.contains(.flush))
    }
}
