import Dispatch
import KCopy
import Synchronization

/// Tells the service manager that the daemon is alive, after proving it: the lanes and the queue threads answered, and so
/// did the queues of the control plane and its tables.
///
/// `@unchecked Sendable`: `isWaiting` is used on `queue` only.
final class Watchdog: @unchecked Sendable {
    private let control: CopyControl
    private let targets: TargetControl
    private let queue = DispatchQueue(label: "watchdog")
    private let timer: any DispatchSourceTimer
    private var isWaiting = false

    /// - Parameter interval: within which the manager wants to hear something.
    init(_ control: CopyControl, _ targets: TargetControl, interval: Duration) {
        self.control = control
        self.targets = targets
        timer = DispatchSource.makeTimerSource(queue: queue)
        let period = DispatchTimeInterval.milliseconds(max(Int(interval.inSeconds * 1000 / 3), 1))
        timer.schedule(deadline: .now(), repeating: period)
        timer.setEventHandler { [weak self] in self?.probe() }
        timer.activate()
    }

    deinit { timer.cancel() }

    private func probe() {
        // One question at a time: what does not answer is not asked again.
        guard !isWaiting else { return }
        isWaiting = true
        control.ping { [weak self] in
            self?.targets.ping { [weak self] in
                self?.queue.async { [weak self] in
                    self?.isWaiting = false
                    ServiceManager.alive()
                }
            }
        }
    }
}

extension CopyControl {
    /// Calls back when the lanes, the reaper, the reports' queue and the tables have answered.
    func ping(_ answer: @escaping @Sendable () -> Void) {
        service.ping { [self] in
            reaper.async { [self] in
                reports.queue.async { [self] in
                    tables.withLock { _ in }
                    answer()
                }
            }
        }
    }
}
