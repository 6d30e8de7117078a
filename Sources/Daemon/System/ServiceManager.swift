import CSystemd
import Glibc
import SystemPackage

/// What the daemon and systemd tell each other. Without systemd all of it has no effect.
enum ServiceManager {
    /// Tells the manager something, as sd_notify(3) has it.
    private static func notify(_ state: String) {
        // Nothing depends on it being heard: a manager that needs to hear it acts when it does not.
        _ = sd_notify(0, state)
    }

    /// The daemon takes calls.
    static func ready(status: String) { notify("READY=1\nSTATUS=\(status)") }

    /// The daemon begins to stop.
    static func stopping() { notify("STOPPING=1\nSTATUS=stopping") }

    /// The daemon is alive.
    static func alive() { notify("WATCHDOG=1") }

    /// The time within which the manager wants to hear that the daemon is alive, if it does.
    static var watchdogInterval: Duration? {
        var microseconds: UInt64 = 0
        guard sd_watchdog_enabled(0, &microseconds) > 0, microseconds > 0 else { return nil }
        return .microseconds(Int64(clamping: microseconds))
    }

    /// The listening sockets that the manager handed over.
    /// - Throws: `DaemonError` where one of them is something else.
    static func takeSockets() throws(DaemonError) -> [FileDescriptor] {
        let count = sd_listen_fds(1)
        guard count >= 0 else {
            throw DaemonError("socket activation", "take over descriptors", "\(Errno(rawValue: -count))")
        }
        var sockets: [FileDescriptor] = []
        for number in 3..<(3 + count) {
            guard sd_is_socket_unix(number, Int32(SOCK_STREAM.rawValue), 1, nil, 0) > 0 else {
                throw DaemonError(
                    "socket activation", "take over descriptor \(number)", "it is no listening Unix stream socket")
            }
            sockets.append(FileDescriptor(rawValue: number))
        }
        return sockets
    }
}
