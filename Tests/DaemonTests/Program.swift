import Dispatch
import Glibc
import Synchronization
import TestSupport

/// A value that closures on other threads may change.
final class Box<T: Sendable>: Sendable {
    private let value: Mutex<T>
    init(_ value: T) { self.value = Mutex(value) }
    func get() -> T { value.withLock { $0 } }
    func set(_ new: T) { value.withLock { $0 = new } }
    func change(_ body: (inout T) -> Void) { value.withLock { body(&$0) } }
}

/// Another process, killed with the object.
final class Program: Sendable {
    let id: pid_t
    /// The end, once it was waited for: from then on the number may be somebody else's.
    private let status = Mutex<Int32?>(nil)

    private init(id: pid_t) { self.id = id }

    deinit {
        signal(SIGKILL)
        _ = reap()
    }

    /// Starts a program.
    /// - Parameters:
    ///   - environment: added to this process's own.
    ///   - output: the file that gets standard output and error; nowhere without.
    static func start(
        _ path: String, _ arguments: [String], environment: [String: String] = [:], output: String = "/dev/null"
    ) -> Program? {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var variables: [String] = environment.map { "\($0.key)=\($0.value)" }
        var entry = environ
        while let variable = entry.pointee {
            let text = String(cString: variable)
            if !environment.keys.contains(where: { text.hasPrefix("\($0)=") }) { variables.append(text) }
            entry += 1
        }
        var id = pid_t()
        let argv = ([path] + arguments).map { strdup($0) } + [nil]
        let envp = variables.map { strdup($0) } + [nil]
        defer { for text in argv + envp { free(text) } }
        let result = TestSupport.Program.quietly { posix_spawn(&id, path, &actions, nil, argv, envp) }
        guard result == 0 else { return nil }
        return Program(id: id)
    }

    func signal(_ number: Int32) {
        status.withLock { if $0 == nil { kill(id, number) } }
    }

    /// Waits for the end: the exit status, or minus the signal. What has not ended in two minutes is killed.
    func wait() -> Int32 {
        let limit = DispatchWorkItem { [weak self] in self?.signal(SIGKILL) }
        DispatchQueue(label: "limit").asyncAfter(deadline: .now() + .seconds(120), execute: limit)
        defer { limit.cancel() }
        let status = reap()
        return status & 0x7f == 0 ? (status >> 8) & 0xff : -(status & 0x7f)
    }

    /// Whether it runs, or has ended and was not waited for.
    var isRunning: Bool {
        var info = siginfo_t()
        return status.withLock { $0 == nil } && waitid(P_PID, id_t(id), &info, WEXITED | WNOWAIT | WNOHANG) == 0
            && info.si_signo == 0
    }

    private func reap() -> Int32 {
        if let ended = status.withLock({ $0 }) { return ended }
        var info = siginfo_t()
        while waitid(P_PID, id_t(id), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR {}
        return status.withLock { ended in
            var status: Int32 = 0
            while waitpid(id, &status, 0) < 0 && errno == EINTR {}
            ended = status
            return status
        }
    }
}
