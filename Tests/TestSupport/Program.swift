public import Glibc
import Synchronization
public import SystemPackage

/// A program that a test runs.
public enum Program {
    /// What became of a run.
    public struct Outcome: Sendable {
        /// The exit status; 128 and the signal where one ended it.
        public var status: Int32
        /// Standard output and standard error together.
        public var output: String
    }

    private static let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"]

    /// Where a program is; nil where it is not installed.
    public static func find(_ name: String) -> String? {
        folders.lazy.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    /// Whether all these programs are installed.
    public static func exist(_ names: String...) -> Bool { names.allSatisfy { find($0) != nil } }

    /// Starts a program whose output goes to a descriptor, or nowhere; its identifier.
    /// - Throws: ENOENT for a program that is not installed, and what posix_spawn(3) answers.
    public static func start(_ arguments: [String], output: FileDescriptor? = nil) throws(Errno) -> pid_t {
        guard let name = arguments.first, let path = find(name) else { throw .noSuchFileOrDirectory }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        if let output {
            posix_spawn_file_actions_adddup2(&actions, output.rawValue, 1)
            posix_spawn_file_actions_adddup2(&actions, output.rawValue, 2)
        } else {
            for stream in 1...2 as ClosedRange<Int32> {
                posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_WRONLY, 0)
            }
        }
        var vector: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for pointer in vector { free(pointer) } }
        var pid: pid_t = 0
        let result = quietly { posix_spawn(&pid, path, &actions, nil, &vector, environ) }
        guard result == 0 else { throw Errno(rawValue: result) }
        return pid
    }

    private static let starting = Mutex(())

    /// Starts no program meanwhile. Between fork and exec a program has every descriptor of this process, and with them
    /// the claims on devices: a test that expects a claim to be gone after a close does both in here.
    public static func quietly<Result>(_ body: () throws -> Result) rethrows -> Result {
        try starting.withLock { _ in try body() }
    }

    /// A pipe of which no program that is started gets an end: it would keep a reader waiting.
    public static func pipe() throws(Errno) -> (reading: Int32, writing: Int32) {
        var ends: [Int32] = [-1, -1]
        let result = quietly {
            let result = Glibc.pipe(&ends)
            if result == 0 { for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) } }
            return result
        }
        guard result == 0 else { throw Errno(rawValue: errno) }
        return (ends[0], ends[1])
    }

    /// Waits for the end of a program: its exit status.
    public static func wait(_ pid: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 {
            if errno != EINTR { return -1 }
        }
        return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f
    }

    /// Runs a program to its end.
    public static func run(_ arguments: [String]) throws -> Outcome {
        // A file, not a pipe: a program that stays in the background may keep it open.
        let path = FilePath("/tmp/ucopyd-test-output-\(getpid())-\(UInt64.random(in: 0 ... .max))")
        let file = try FileDescriptor.open(
            path, .readWrite, options: [.create, .exclusiveCreate, .closeOnExec], permissions: .ownerReadWrite)
        defer { try? file.close() }
        unlink(path.string)
        let status = wait(try start(arguments, output: file))
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = try chunk.withUnsafeMutableBytes {
                try file.read(fromAbsoluteOffset: Int64(bytes.count), into: $0)
            }
            if count == 0 { break }
            bytes.append(contentsOf: chunk[..<count])
        }
        return Outcome(status: status, output: String(decoding: bytes, as: UTF8.self))
    }

    /// Runs a program that has to succeed: its output without the newline at its end.
    /// - Throws: `ProgramFailure` for another exit status than 0.
    @discardableResult
    public static func succeed(_ arguments: String...) throws -> String {
        let outcome = try run(arguments)
        guard outcome.status == 0 else { throw ProgramFailure(arguments: arguments, outcome: outcome) }
        var text = outcome.output[...]
        while text.last?.isNewline == true { text.removeLast() }
        return String(text)
    }
}

/// A program that had to succeed and did not.
public struct ProgramFailure: Error, CustomStringConvertible {
    var arguments: [String]
    var outcome: Program.Outcome

    /// The command line, the status and what it printed.
    public var description: String {
        "\(arguments.joined(separator: " ")): exit status \(outcome.status): \(outcome.output)"
    }
}
