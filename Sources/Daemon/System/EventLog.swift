import Dispatch
import Logging
import Synchronization
import Varlink

/// Logs what peers do to the sockets: once a second so that everybody sees it, the rest for those who look closer. A peer
/// must not be able to fill a disk.
final class EventLog: Sendable {
    private static let pause: UInt64 = 1_000_000_000

    private struct State {
        var last: UInt64 = 0
        var unseen = 0
    }

    private let logger: Logger
    private let state = Mutex(State())

    init(_ logger: Logger) { self.logger = logger }

    /// Takes one event.
    @Sendable func note(_ event: VarlinkEvent) {
        let now = DispatchTime.now().uptimeNanoseconds
        let unseen: Int? = state.withLock { state in
            guard state.last == 0 || now - state.last >= Self.pause else {
                state.unseen += 1
                return nil
            }
            defer { state = State(last: now) }
            return state.unseen
        }
        guard let unseen else { return logger.debug("\(event)") }
        logger.notice("\(event)", metadata: unseen > 0 ? ["alsoSince": "\(unseen)"] : [:])
    }
}
