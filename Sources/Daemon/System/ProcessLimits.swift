import CLinux
import Glibc

/// What the daemon asks of its own process.
public enum ProcessLimits {
    /// Raises the number of descriptors to what the system allows, lets writes to closed sockets fail instead of killing the
    /// process, and keeps the C library from setting up a heap for every thread.
    public static func prepare() {
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            // Where it may not be raised, what there is has to do.
            _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        signal(SIGPIPE, SIG_IGN)
        clinux_limit_arenas(2)
    }
}
