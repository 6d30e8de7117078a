import Glibc
import SystemPackage

/// Threads for what blocks for as long as it likes, which a Dispatch queue's shared threads must not.
enum Thread {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts a detached thread. It takes no signals: those are for the program's own threads.
    /// - Throws: EAGAIN where the system allows no more threads.
    static func start(_ body: @escaping @Sendable () -> Void) throws(CallError) {
        let argument = Unmanaged.passRetained(Body(body))
        var all = sigset_t()
        var previous = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &previous)
        defer { pthread_sigmask(SIG_SETMASK, &previous, nil) }
        var thread = pthread_t()
        let error = pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            }, argument.toOpaque())
        guard error == 0 else {
            argument.release()
            throw CallError(Errno(rawValue: error))
        }
        pthread_detach(thread)
    }
}
