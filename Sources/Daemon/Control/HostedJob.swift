import BlockIO
import ControlAPI
import Glibc
import KCopy
import Synchronization
import SystemPackage

/// A job on behalf of a peer, from its submission until it is forgotten.
final class HostedJob: Sendable {
    private struct State {
        var job: CopyJob?
        var isCancelRequested = false
        var result: CopyResult?
        var ended: ContinuousClock.Instant?
        var done: UInt64 = 0
        var devices: [SharedDevice]
        var allowance: Allowance?
    }

    let number: Int
    let client: ClientProfile
    let kind: CopyInterface.Kind
    let source: String?
    let destinations: [String]
    let totalBytes: UInt64
    private let started = ContinuousClock.now
    private let announced = Atomic<Bool>(false)
    private let state: Mutex<State>

    /// - Parameters:
    ///   - devices: what the job uses, once per use; let go in `releaseDevices()`.
    ///   - allowance: the peer's grant of a job.
    init(
        number: Int, client: ClientProfile, kind: CopyInterface.Kind, source: String?, destinations: [String],
        totalBytes: UInt64, devices: [SharedDevice], allowance: Allowance
    ) {
        self.number = number
        self.client = client
        self.kind = kind
        self.source = source
        self.destinations = destinations
        self.totalBytes = totalBytes
        state = Mutex(State(devices: devices, allowance: allowance))
    }

    /// Whether everybody who waited has been told of its end. Changes on the reports' queue.
    var isAnnounced: Bool {
        get { announced.load(ordering: .acquiring) }
        set { announced.store(newValue, ordering: .releasing) }
    }

    /// Connects it with the copy service's job, which may have ended meanwhile.
    func attach(_ job: CopyJob) {
        let isCancelRequested = state.withLock { state in
            guard state.result == nil else { return false }
            state.job = job
            return state.isCancelRequested
        }
        if isCancelRequested { job.cancel() }
    }

    /// Stops it; it ends by its completion as ever.
    func cancel() {
        let job = state.withLock { state in
            state.isCancelRequested = true
            return state.job
        }
        job?.cancel()
    }

    /// Notes how it ended.
    func finish(_ result: CopyResult) {
        state.withLock { state in
            state.ended = .now
            state.done = max(state.job?.progress.done ?? 0, result.copied)
            state.result = result
            state.job = nil
        }
    }

    /// Lets go of its devices. On the queue of the client's account.
    func releaseDevices() {
        let devices = state.withLock { state in
            defer { state.devices = [] }
            return state.devices
        }
        devices.forEach { $0.release() }
    }

    /// Counts it no longer as a job of the peer, but as one whose end nobody has been told yet.
    /// - Returns: false if the peer has too many of those; it counts as neither then.
    func countAsUntold(_ account: PeerAccount) -> Bool {
        releaseAllowance()
        guard let allowance = try? account.take(.untold) else { return false }
        state.withLock { $0.allowance = allowance }
        return true
    }

    /// Gives the peer's grant back.
    func releaseAllowance() {
        let allowance = state.withLock { state in
            defer { state.allowance = nil }
            return state.allowance
        }
        allowance?.release()
    }

    /// The job as it stands.
    func report() -> CopyInterface.Job {
        let (job, result, done, ended) = state.withLock { ($0.job, $0.result, $0.done, $0.ended) }
        let bytes = (result == nil ? job?.progress.done ?? 0 : done) << UInt64(Sector.shift)
        let rate = client.rate.withLock { $0 }
        let outcome = result ?? CopyResult()
        return CopyInterface.Job(
            job: number, client: client.number, name: client.name, kind: kind,
            state: result.map(CopyInterface.State.init) ?? .running, source: source, destinations: destinations,
            bytes: bytes, totalBytes: totalBytes, copiedBytes: outcome.copied << UInt64(Sector.shift),
            resumeAt: outcome.resumeAt, seconds: started.duration(to: ended ?? .now).inSeconds,
            bytesPerSecond: rate.bytesPerSecond, percent: rate.percent, readError: outcome.readError,
            writeErrors: destinations.indices.map { outcome.writeErrors & (1 << UInt32($0)) != 0 },
            faults: outcome.faults.map(CopyInterface.Fault.init))
    }
}

extension CopyInterface.State {
    init(_ result: CopyResult) {
        self = result.isCancelled ? .cancelled : result.isSuccess ? .done : .failed
    }
}

extension CopyInterface.Fault {
    init(_ fault: CopyFault) {
        var destination: Int?
        if case .destination(let index) = fault.side { destination = index }
        // The system has no number for "differs"; its words for the nearest one would mislead.
        let reason = fault.errno == EILSEQ ? "what was read back differs" : Errno(rawValue: fault.errno).description
        self.init(
            destination: destination, sector: fault.range.start, count: fault.range.count, errno: fault.errno,
            reason: reason)
    }
}

extension Duration {
    /// In seconds.
    var inSeconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}
