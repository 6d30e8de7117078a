import Glibc
import SystemPackage
import TestSupport

/// Where the programs under test are: in UCOPYD_BIN_DIR, else in the package's debug build.
enum Binary {
    static func path(_ name: String) -> String {
        if let directory = getenv("UCOPYD_BIN_DIR") { return "\(String(cString: directory))/\(name)" }
        let root = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
        return root.appending(".build/debug/\(name)").string
    }
}

struct SpawnError: Error {
    var program: String
    var number: Int32
}

/// A program under way, its outputs in pipes.
final class CommandRun {
    let pid: pid_t
    private let outputs: [Int32: Int32]
    private var texts: [Int32: [UInt8]] = [:]
    private var isReaped = false

    /// Starts a program.
    /// - Parameters:
    ///   - pipes: its descriptors that this object reads.
    ///   - closed: its descriptors that are closed.
    ///   - onto: its descriptors that are files opened for writing.
    init(
        _ arguments: [String], environment: [String: String] = [:], pipes: [Int32] = [1, 2], closed: [Int32] = [],
        onto: [Int32: String] = [:]
    ) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var ours: [Int32: Int32] = [:]
        var theirs: [Int32] = []
        if !pipes.contains(0) { posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) }
        for number in pipes {
            let ends = try Program.pipe()
            // High numbers, so that no end is in the way of another one's place.
            let read = fcntl(ends.reading, F_DUPFD_CLOEXEC, 100)
            let write = fcntl(ends.writing, F_DUPFD_CLOEXEC, 100)
            close(ends.reading)
            close(ends.writing)
            posix_spawn_file_actions_adddup2(&actions, write, number)
            ours[number] = read
            theirs.append(write)
        }
        for (number, path) in onto { posix_spawn_file_actions_addopen(&actions, number, path, O_WRONLY, 0) }
        for number in closed { posix_spawn_file_actions_addclose(&actions, number) }
        defer { theirs.forEach { close($0) } }
        outputs = ours
        pid = try Self.spawn(arguments, environment, &actions)
    }

    /// Runs `ucopyctl` with these arguments.
    convenience init(
        ctl arguments: [String], environment: [String: String] = [:], pipes: [Int32] = [1, 2], closed: [Int32] = [],
        onto: [Int32: String] = [:]
    ) throws {
        try self.init(
            [Binary.path("ucopyctl")] + arguments, environment: environment, pipes: pipes, closed: closed, onto: onto)
    }

    deinit {
        outputs.values.forEach { close($0) }
        if !isReaped {
            kill(pid, SIGKILL)
            while waitpid(pid, nil, 0) < 0, errno == EINTR {}
        }
    }

    private static func spawn(
        _ arguments: [String], _ environment: [String: String], _ actions: inout posix_spawn_file_actions_t
    ) throws -> pid_t {
        var variables = environment
        for name in ["PATH", "HOME", "TERM"] where variables[name] == nil {
            if let value = getenv(name) { variables[name] = String(cString: value) }
        }
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var envp: [UnsafeMutablePointer<CChar>?] = variables.map { strdup("\($0)=\($1)") } + [nil]
        defer { (argv + envp).forEach { free($0) } }
        var pid: pid_t = 0
        let number = Program.quietly { posix_spawnp(&pid, arguments[0], &actions, nil, &argv, &envp) }
        guard number == 0 else { throw SpawnError(program: arguments[0], number: number) }
        return pid
    }

    /// Sends a signal, unless the program's end was waited for: its number may be somebody else's then.
    func signal(_ number: Int32) {
        if !isReaped { kill(pid, number) }
    }

    /// Reads what there is on any of the pipes; false at the end of all of them.
    private func readSome() -> Bool {
        var waiting = outputs.filter { $0.value >= 0 && !ended.contains($0.key) }.map { (key: $0.key, fd: $0.value) }
        waiting.sort { $0.key < $1.key }
        guard !waiting.isEmpty else { return false }
        var polled = waiting.map { pollfd(fd: $0.fd, events: Int16(POLLIN), revents: 0) }
        let ready = poll(&polled, nfds_t(polled.count), 120_000)
        if ready < 0, errno == EINTR { return true }
        guard ready > 0 else {
            // Nothing came for two minutes: it hangs.
            signal(SIGKILL)
            return false
        }
        var buffer = [UInt8](repeating: 0, count: 65536)
        for (index, entry) in polled.enumerated() where entry.revents != 0 {
            let count = Glibc.read(entry.fd, &buffer, buffer.count)
            if count > 0 {
                texts[waiting[index].key, default: []] += buffer[..<count]
            } else {
                ended.insert(waiting[index].key)
            }
        }
        return true
    }
    private var ended: Set<Int32> = []

    /// Waits until a pipe has brought something that fits, or everything has ended.
    func read(_ descriptor: Int32, until condition: (String) -> Bool) -> Bool {
        while !condition(text(descriptor)) { if !readSome() { return condition(text(descriptor)) } }
        return true
    }

    func text(_ descriptor: Int32) -> String { String(decoding: texts[descriptor] ?? [], as: UTF8.self) }

    /// Waits for the end, and returns everything.
    func wait() -> CommandResult {
        while readSome() {}
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        isReaped = true
        let exit = status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
        return CommandResult(status: exit, output: text(1), error: text(2), texts: texts)
    }
}

/// How a program ended.
struct CommandResult: CustomStringConvertible {
    /// Exit status; 128 and the number for a signal.
    var status: Int32
    var output: String
    var error: String
    var texts: [Int32: [UInt8]]

    /// What it wrote to a descriptor.
    func text(_ descriptor: Int32) -> String { String(decoding: texts[descriptor] ?? [], as: UTF8.self) }
    var errorLines: [Substring] { error.split(separator: "\n") }
    var description: String { "status \(status)\nstdout: \(output)\nstderr: \(error)" }
}

/// Runs `ucopyctl` to its end.
func ctl(_ arguments: String..., environment: [String: String] = [:], pipes: [Int32] = [1, 2]) throws -> CommandResult {
    try CommandRun(ctl: arguments, environment: environment, pipes: pipes).wait()
}
