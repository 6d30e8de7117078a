import BlockIO
import KCopy
import Synchronization
import SystemPackage

/// Where the work of a client is done: in this process, or in the daemon.
protocol CopyBackend: Sendable {
    /// Starts a copy, or a zeroing where there is no source. The completion is called once, on the
    /// client's queue, if nothing is thrown.
    func start(
        _ request: CopyRequest, completion: @escaping @Sendable (JobOutcome) -> Void
    ) throws(CallError) -> any RunningJob
    /// Changes the limits.
    func setRate(_ rate: CopyRate) throws(CallError)
    /// Waits for all jobs and their completions; from a completion of this client, returns at once
    /// and goes on in the background.
    func destroy()
}

/// A job that can be cancelled; its completion still comes. Must not wait for it.
protocol RunningJob: Sendable {
    func cancel()
}

extension CopyJob: RunningJob {}

/// A copy, or a zeroing where there is no source.
struct CopyRequest: Sendable {
    var source: IORegion?
    var destinations: [IORegion]
    var flags: CopyFlags

    /// Refuses devices that are not open for what is to be done with them.
    /// - Throws: EPERM.
    func requireAccess() throws(CallError) {
        let isAllowed = (source?.device.isReadable ?? true) && destinations.allSatisfy { $0.device.isWritable }
        guard isAllowed else { throw CallError(.notPermitted) }
    }
}

/// What a `struct kcopyd_client` handle stands for: a backend, and which context each job was
/// started with.
final class Client: Sendable {
    /// A job from just before it is started until its callback is due.
    private struct Entry {
        var context: UInt
        /// Missing while the backend is still starting it.
        var job: (any RunningJob)?
        /// A cancel that came before there was a job to cancel.
        var isCancelled = false
    }

    private struct State {
        var lastTicket: UInt64 = 0
        var entries: [UInt64: Entry] = [:]
    }

    private let backend: any CopyBackend
    private let state = Mutex(State())

    init(_ backend: any CopyBackend) {
        self.backend = backend
    }

    /// Starts a request and calls back when it has ended.
    func start(_ request: CopyRequest, _ callback: Callback) throws(CallError) {
        try request.requireAccess()
        let ticket = enter(callback.contextNumber)
        let job: any RunningJob
        do {
            job = try backend.start(request) { outcome in
                self.leave(ticket)
                callback.call(outcome)
            }
        } catch {
            leave(ticket)
            throw error
        }
        let isCancelled = state.withLock { state in
            state.entries[ticket]?.job = job
            return state.entries[ticket]?.isCancelled ?? false
        }
        if isCancelled { job.cancel() }
    }

    /// Cancels the jobs of a context.
    /// - Throws: ENOENT if there is none.
    func cancel(context: UInt) throws(CallError) {
        let (found, jobs) = state.withLock { state in
            let tickets = state.entries.filter { $0.value.context == context }.keys.sorted()
            for ticket in tickets { state.entries[ticket]?.isCancelled = true }
            return (!tickets.isEmpty, tickets.compactMap { state.entries[$0]?.job })
        }
        guard found else { throw CallError(.noSuchFileOrDirectory) }
        for job in jobs { job.cancel() }
    }

    func setRate(_ rate: CopyRate) throws(CallError) { try backend.setRate(rate) }

    func destroy() { backend.destroy() }

    private func enter(_ context: UInt) -> UInt64 {
        state.withLock { state in
            state.lastTicket += 1
            state.entries[state.lastTicket] = Entry(context: context)
            return state.lastTicket
        }
    }

    private func leave(_ ticket: UInt64) {
        state.withLock { _ = $0.entries.removeValue(forKey: ticket) }
    }
}
