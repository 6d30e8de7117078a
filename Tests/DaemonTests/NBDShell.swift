import Glibc
import SystemPackage

/// A client of an export, in a process of its own: libnbd under Python, told line by line what to do.
final class NBDShell {
    private static let script = """
        import nbd, sys
        h = nbd.NBD()
        h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
        if len(sys.argv) > 2: h.set_export_name(sys.argv[2])
        started = []
        def wait(cookie):
            while not h.aio_command_completed(cookie): h.poll(-1)
            return "ok"
        def act(verb, *n):
            if verb == "read": return h.pread(n[1], n[0]).hex()
            if verb == "write": h.pwrite(bytes([n[2]]) * n[1], n[0])
            if verb == "flush": h.flush()
            if verb == "size": return str(h.get_size())
            if verb == "readonly": return str(h.is_read_only())
            if verb == "start":
                buffer = nbd.Buffer.from_bytearray(bytearray(bytes([n[2]]) * n[1]))
                started.append((h.aio_pwrite(buffer, n[0]), buffer))
            if verb == "arrive":  # Answered at once, and after what was sent before has been taken.
                h.block_status(512, 0, lambda *_: 0)
                return str(sum(h.aio_command_completed(c) for c, _ in started))
            if verb == "finish": return wait(started.pop(0)[0])
            return "ok"
        try:
            h.connect_unix(sys.argv[1])
            print("connected", flush=True)
        except nbd.Error as error:
            print("refused", flush=True)
        for line in sys.stdin:
            verb, *numbers = line.split()
            try: print(act(verb, *map(int, numbers)), flush=True)
            except nbd.Error as error: print("error", error.errno or "lost", flush=True)
        """

    static let isPossible = run(["/usr/bin/python3", "-c", "import nbd"]) == 0

    private static func run(_ arguments: [String]) -> Int32 {
        Program.start(arguments[0], Array(arguments.dropFirst()))?.wait() ?? -1
    }

    let pid: pid_t
    private let input: FileDescriptor
    private let output: FileDescriptor
    private var text = ""
    private var isReaped = false
    /// "connected" or "refused".
    private(set) var state = ""

    /// Connects to an export, by the empty name unless another is given.
    init(_ socket: FilePath, export: String? = nil) throws {
        let toChild = try FileDescriptor.pipe()
        let fromChild = try FileDescriptor.pipe()
        for end in [toChild.writeEnd, fromChild.readEnd] { _ = fcntl(end.rawValue, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (end, number) in [(toChild.readEnd, 0), (fromChild.writeEnd, 1)] as [(FileDescriptor, Int32)] {
            posix_spawn_file_actions_adddup2(&actions, end.rawValue, number)
            posix_spawn_file_actions_addclose(&actions, end.rawValue)
        }
        let words = ["/usr/bin/python3", "-c", Self.script, socket.string] + [export].compactMap { $0 }
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var pid: pid_t = 0
        let result = posix_spawn(&pid, words[0], &actions, nil, &arguments, environ)
        try toChild.readEnd.close()
        try fromChild.writeEnd.close()
        self.pid = pid
        input = toChild.writeEnd
        output = fromChild.readEnd
        guard result == 0 else { throw Errno(rawValue: result) }
        state = try answer()
    }

    deinit { end() }

    /// Has it do something, and waits for the answer.
    func callAsFunction(_ line: String) throws -> String {
        try input.writeAll("\(line)\n".utf8)
        return try answer()
    }

    /// The bytes from `offset` on.
    func bytes(_ offset: Int, _ count: Int) throws -> [UInt8] {
        let hex = Array(try self("read \(offset) \(count)").utf8)
        return stride(from: 0, to: hex.count - 1, by: 2).compactMap {
            UInt8(String(decoding: hex[$0..<$0 + 2], as: UTF8.self), radix: 16)
        }
    }

    private func answer() throws -> String {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while bytes.last != UInt8(ascii: "\n") {
            let count = try piece.withUnsafeMutableBytes { try output.read(into: $0) }
            guard count > 0 else { throw Errno.brokenPipe }
            bytes += piece[..<count]
        }
        return String(decoding: bytes.dropLast(), as: UTF8.self)
    }

    /// Ends it: by itself, as clients do, or killed.
    func end(killed: Bool = false) {
        guard !isReaped else { return }
        isReaped = true
        if killed { kill(pid, SIGKILL) }
        // What close(2) says of a pipe concerns nobody.
        try? input.close()
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        try? output.close()
    }
}
