import ControlAPI
import SystemPackage

/// The jobs of a client of the daemon, and the order in which they end.
///
/// The daemon tells of ends on one connection and answers calls on another, so that it may tell of a
/// job's end before the answer that names the job is here. An end of an unknown job therefore waits,
/// and all later ends behind it, while a call is under way; without one, the job is somebody else's
/// and its end is dropped. Pure: the owner guards it with a lock and does what it answers.
struct HostedJobs {
    /// A job that was started, and whom to tell.
    struct Submission: Sendable {
        var request: CopyRequest
        var completion: @Sendable (JobOutcome) -> Void
    }

    /// A submission that has ended.
    struct Ended: Sendable {
        var submission: Submission
        var outcome: JobOutcome
    }

    private var running: [Int: Submission] = [:]
    private var ends: [CopyInterface.Job] = []
    private var calls = 0
    /// Why there will be no more ends; nil while the daemon is there.
    private(set) var loss: CallError?
    /// Whether the client is being destroyed.
    private(set) var isClosing = false

    /// A call that is going to start a job begins.
    /// - Throws: EBADF while the client is being destroyed, and the reason once the daemon has gone.
    mutating func beginCall() throws(CallError) {
        if isClosing { throw CallError(.badFileDescriptor) }
        if let loss { throw loss }
        calls += 1
    }

    /// The call was answered: with a job, or without one where it was refused.
    /// - Returns: what has ended, in order.
    mutating func endCall(_ started: (job: Int, submission: Submission)?) -> [Ended] {
        calls -= 1
        guard let started else { return settle() }
        if let loss { return [Self.lost(started.submission, loss)] }
        running[started.job] = started.submission
        return settle()
    }

    /// The daemon told of an end.
    /// - Returns: what has ended, in order.
    mutating func end(_ job: CopyInterface.Job) -> [Ended] {
        ends.append(job)
        return settle()
    }

    /// The daemon has gone.
    /// - Returns: all jobs, in the order in which they were started.
    mutating func lose(_ reason: CallError) -> [Ended] {
        guard loss == nil else { return [] }
        loss = reason
        ends = []
        defer { running = [:] }
        return running.sorted { $0.key < $1.key }.map { Self.lost($0.value, reason) }
    }

    /// No more calls are allowed.
    mutating func close() { isClosing = true }

    private mutating func settle() -> [Ended] {
        var settled: [Ended] = []
        var index = 0
        while index < ends.count {
            if let submission = running.removeValue(forKey: ends[index].job) {
                settled.append(Ended(submission: submission, outcome: JobOutcome(ends[index])))
            } else if calls > 0 {
                break
            }
            index += 1
        }
        ends.removeFirst(index)
        return settled
    }

    private static func lost(_ submission: Submission, _ reason: CallError) -> Ended {
        let outcome = JobOutcome.lost(
            destinations: submission.request.destinations.count, errno: reason.errno.rawValue)
        return Ended(submission: submission, outcome: outcome)
    }
}
