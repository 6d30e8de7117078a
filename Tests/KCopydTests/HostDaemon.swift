import Foundation
import Glibc
import Testing

/// A daemon of one test, which ends with it.
final class HostDaemon {
    let socket: String
    var pid: Int32 { process.processIdentifier }
    private let process = Process()

    /// Starts it and waits until it says that it is ready.
    init(runtimeDirectory: URL) throws {
        try FileManager.default.createDirectory(at: runtimeDirectory, withIntermediateDirectories: true)
        socket = runtimeDirectory.appending(path: "io.ucopyd").path
        let readiness = try ReadinessSocket(path: runtimeDirectory.appending(path: "notify").path)
        process.executableURL = Paths.daemon
        process.arguments = ["--runtime-directory", runtimeDirectory.path]
        process.environment = ProcessInfo.processInfo.environment.merging(["NOTIFY_SOCKET": readiness.path]) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.runUnmasked()
        try readiness.await(seconds: 120)
    }

    deinit {
        if process.isRunning { process.terminate() }
        process.waitUntilExit()
    }
}

/// The datagram socket on which a service announces that it is ready.
private final class ReadinessSocket {
    let path: String
    private let descriptor: Int32

    init(path: String) throws {
        self.path = path
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        try #require(path.utf8.count < MemoryLayout.size(ofValue: address.sun_path))
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(status == 0, "bind \(path): errno \(errno)")
    }

    deinit { close(descriptor) }

    func await(seconds: Int) throws {
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            // With a time limit this call is not begun again by the kernel, and a ring's work interrupts like a signal.
            if count < 0, errno == EINTR { continue }
            try #require(count > 0, "the daemon did not become ready in \(seconds) s")
            if String(decoding: buffer[..<count], as: UTF8.self).contains("READY=1") { return }
        }
    }
}
