import Dispatch
import Glibc
import Synchronization

/// What the main thread waits for while a job runs.
enum JobEvent: Sendable {
    /// The job is so far, in bytes.
    case progress(done: UInt64)
    /// The job has ended.
    case ended(JobReport)
    /// Whoever ran the job cannot be asked any more.
    case lost(Failure)
    /// SIGINT or SIGTERM came.
    case interrupted
}

/// Events from any thread for one that waits.
final class Mailbox: Sendable {
    private let events = Mutex<[JobEvent]>([])
    private let arrivals = DispatchSemaphore(value: 0)

    func post(_ event: JobEvent) {
        events.withLock { $0.append(event) }
        arrivals.signal()
    }

    /// The next event; nil when none came within `milliseconds`. Without a limit it waits for ever.
    func next(within milliseconds: Int? = nil) -> JobEvent? {
        let deadline = milliseconds.map { DispatchTime.now() + .milliseconds($0) } ?? .distantFuture
        guard arrivals.wait(timeout: deadline) == .success else { return nil }
        return events.withLock { $0.removeFirst() }
    }
}

/// Turns SIGINT and SIGTERM into events. The second one ends the process at once: whoever insists
/// does not want to wait for the job.
final class Interrupts {
    private let sources: [any DispatchSourceSignal]

    init(_ mailbox: Mailbox) {
        let queue = DispatchQueue(label: "interrupts")
        let arrived = Flag()
        sources = [SIGINT, SIGTERM].map { number in
            // The source hears of the signal although it is ignored; without that it would still kill.
            _ = signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler {
                if arrived.set() { _exit(ExitStatus.interrupted.rawValue) }
                mailbox.post(.interrupted)
            }
            source.activate()
            return source
        }
    }
}

/// Something that happens once.
private final class Flag: Sendable {
    private let value = Atomic<Bool>(false)

    /// Sets the flag and tells whether it was set before.
    func set() -> Bool { value.exchange(true, ordering: .relaxed) }
}
