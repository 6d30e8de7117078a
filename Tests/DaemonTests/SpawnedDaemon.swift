import ControlAPI
import Dispatch
import Glibc
import Synchronization
import SystemPackage

@testable import Daemon

/// A socket that hears what programs tell their service manager. It takes every message at once, as a manager does: a program
/// that finds the queue full would wait.
final class NotifySocket: Sendable {
    private final class Inbox: Sendable {
        let messages = Mutex<[String]>([])
        let arrived = DispatchSemaphore(value: 0)
    }

    let path: FilePath
    private let descriptor: FileDescriptor
    private let inbox = Inbox()

    init(_ path: FilePath) throws {
        self.path = path
        let number = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { throw Errno(rawValue: errno) }
        descriptor = FileDescriptor(rawValue: number)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.string.utf8) }
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard bound == 0 else { throw Errno(rawValue: errno) }
        DispatchQueue(label: "notify").async { [descriptor, inbox] in Self.receive(descriptor, inbox) }
    }

    deinit { shutdown(descriptor.rawValue, Int32(SHUT_RDWR)) }

    /// Receives until the socket is shut down, which is an empty message, and closes it.
    private static func receive(_ descriptor: FileDescriptor, _ inbox: Inbox) {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor.rawValue, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            inbox.messages.withLock { $0.append(String(decoding: buffer[..<count], as: UTF8.self)) }
            inbox.arrived.signal()
        }
        close(descriptor.rawValue)
    }

    /// Waits for a message that contains `text`; nil when none has come in two minutes.
    func wait(for text: String) -> String? {
        while inbox.arrived.wait(timeout: .now() + .seconds(120)) == .success {
            let message = inbox.messages.withLock { $0.removeFirst() }
            if message.contains(text) { return message }
        }
        return nil
    }
}

/// The built program, running in a folder of its own.
final class SpawnedDaemon: Sendable {
    let directory: TemporaryDirectory
    let notify: NotifySocket
    let program: Program
    var socket: FilePath { runtime.appending("io.ucopyd") }
    var log: FilePath { directory.path.appending("log") }
    private var runtime: FilePath { directory.path.appending("run") }

    /// Where the built programs are: in the folder that UCOPYD_BIN_DIR names, or beside the tests.
    static var binary: String? {
        let folder =
            getenv("UCOPYD_BIN_DIR").map { FilePath(platformString: $0) }
            ?? FilePath(CommandLine.arguments[0]).removingLastComponent()
        let candidates = [folder, ".build/debug"].map { $0.appending("ucopyd").string }
        return candidates.first { access($0, X_OK) == 0 }
    }

    /// Starts it and waits until it is ready.
    init?(
        _ arguments: [String] = [], environment: [String: String] = [:], through wrapper: [String] = [],
        isAwaited: Bool = true
    ) throws {
        directory = try TemporaryDirectory()
        notify = try NotifySocket(directory.path.appending("notify"))
        guard let binary = Self.binary else { return nil }
        let runtime = directory.path.appending("run").string
        let command =
            wrapper.map { $0 == "SOCKET" ? "\(runtime).socket" : $0 }
            + [binary, "--runtime-directory", runtime, "--log-level", "debug"] + arguments
        let all = environment.merging(["NOTIFY_SOCKET": notify.path.string]) { $1 }
        guard
            let program = Program.start(
                command[0], Array(command.dropFirst()), environment: all,
                output: directory.path.appending("log").string)
        else { return nil }
        self.program = program
        if isAwaited, notify.wait(for: "READY=1") == nil { return nil }
    }

    /// A second one in the same folder.
    func startAnother() -> Program? {
        Self.binary.flatMap {
            Program.start(
                $0, ["--runtime-directory", runtime.string], environment: ["NOTIFY_SOCKET": notify.path.string],
                output: directory.path.appending("log2").string)
        }
    }

    func text(_ name: String) throws -> String {
        let file = try FileDescriptor.open(directory.path.appending(name), .readOnly, options: [.closeOnExec])
        return try file.closeAfter {
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            let count = try bytes.withUnsafeMutableBytes { try file.read(into: $0) }
            return String(decoding: bytes[..<count], as: UTF8.self)
        }
    }

    func stop() -> Int32 {
        program.signal(SIGTERM)
        return program.wait()
    }
}
