import ControlAPI
import Dispatch
import Varlink

/// Somebody who waits for a job to end, and may want to see how far it is meanwhile.
///
/// `@unchecked Sendable`: `timer` is used on the reports' queue only.
final class JobWatcher: @unchecked Sendable {
    /// What the last reply looks like.
    enum Form: Sendable { case watch, cancel }

    let job: HostedJob
    private let call: VarlinkCall
    private let form: Form
    private var timer: (any DispatchSourceTimer)?

    init(_ job: HostedJob, _ call: VarlinkCall, _ form: Form) {
        self.job = job
        self.call = call
        self.form = form
    }

    /// Tells how the job stands, and again every `interval` milliseconds unless the peer has not read the last report.
    func startProgress(interval: Int, on queue: DispatchQueue) {
        report()
        let timer = DispatchSource.makeTimerSource(queue: queue)
        let period = DispatchTimeInterval.milliseconds(interval)
        timer.schedule(deadline: .now() + period, repeating: period, leeway: .milliseconds(interval / 10))
        timer.setEventHandler { [weak self] in self?.report() }
        self.timer = timer
        timer.activate()
    }

    private func report() {
        guard call.canSend else { return }
        let report = job.report()
        // A job may have ended before that is announced; its end is the last reply.
        guard report.state == .running else { return }
        call.reply(CopyInterface.Watch.Reply(job: report), continues: true)
    }

    /// Answers: the job has ended, or the peer has gone.
    func finish() {
        timer?.cancel()
        timer = nil
        switch form {
        case .watch: call.reply(CopyInterface.Watch.Reply(job: job.report()))
        case .cancel: call.reply(CopyInterface.Cancel.Reply(job: job.report()))
        }
    }
}
