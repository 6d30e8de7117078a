import Foundation
import TestSupport
import Testing

/// A folder of one test, with a library to load, programs to run and images to copy; gone with it.
final class Workshop {
    let folder: URL
    private var undo: [[String]] = []

    init() throws {
        folder = URL(filePath: TemporaryDirectory.place).appending(path: "kcopyd-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            at: folder.appending(path: "libkcopyd.so.0"), withDestinationURL: Paths.library)
    }

    deinit {
        // A test has ended by now: what cannot be taken back is left for the person who runs it to see.
        for command in undo.reversed() { _ = try? Command.run(command) }
        try? FileManager.default.removeItem(at: folder)
    }

    // MARK: Programs

    private static let warnings = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-pthread"]

    /// Compiles one of the test programs, C99 or C++11, with every warning an error.
    func compile(_ name: String) throws -> String {
        try compile(Paths.programs.appending(path: name))
    }

    func compile(_ source: URL) throws -> String {
        let program = folder.appending(path: source.lastPathComponent + ".program").path
        let isC = source.pathExtension == "c"
        let command =
            (isC ? ["cc", "-std=c99", "-D_POSIX_C_SOURCE=200809L"] : ["c++", "-std=c++11"]) + Self.warnings
            + ["-I\(Paths.include.path)", source.path, "-o", program]
            + ["-L\(Paths.products.path)", "-lkcopyd", "-Wl,-rpath,\(folder.path)", "-ldl"]
        try Command.succeed(command)
        return program
    }

    /// Compiles a test program and runs it; it has to succeed, silently.
    /// - Parameter host: where its client works; nil leaves the choice to the library.
    func run(
        _ name: String, _ arguments: [String], host: Host? = nil, at location: SourceLocation = #_sourceLocation
    ) throws {
        let output = try Command.succeed(
            [try compile(name)] + arguments, environment: try environment(host), at: location)
        #expect(output.isEmpty, "the library wrote: \(output)", sourceLocation: location)
    }

    private func environment(_ host: Host?) throws -> [String: String] {
        switch host {
        case nil: return [:]
        case .uring?, .blocking?: return ["KCOPYD_ENGINE": host?.rawValue ?? ""]
        case .daemon?: return ["KCOPYD_TEST_SOCKET": try daemon().socket]
        }
    }

    private var started: HostDaemon?

    /// The daemon of this test.
    func daemon() throws -> HostDaemon {
        if let started { return started }
        let new = try HostDaemon(runtimeDirectory: folder.appending(path: "run"))
        started = new
        return new
    }

    // MARK: Images and devices

    /// An image file with content that is nowhere the same.
    func image(_ name: String, bytes: Int) throws -> String {
        let url = folder.appending(path: name)
        var generator = SystemRandomNumberGenerator()
        var data = Data(capacity: bytes)
        while data.count < bytes {
            withUnsafeBytes(of: generator.next()) { data.append(contentsOf: $0.prefix(bytes - data.count)) }
        }
        try data.write(to: url)
        return url.path
    }

    /// An image file that is one hole.
    func blank(_ name: String, bytes: Int) throws -> String {
        let url = folder.appending(path: name)
        try Data().write(to: url)
        try FileHandle(forWritingTo: url).truncate(atOffset: UInt64(bytes))
        return url.path
    }

    /// A loop device on an image, with direct I/O where the file system has it.
    func loop(_ image: String, blockSize: Int) throws -> String {
        let device = try LoopDevice.attach(image, options: ["--sector-size=\(blockSize)"])
        undo.append(["losetup", "--detach", device])
        return device
    }

    /// A file system in memory that holds so many bytes.
    func smallFileSystem(_ name: String, bytes: Int) throws -> URL {
        let url = folder.appending(path: name)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        try Command.succeed(["mount", "-t", "tmpfs", "-o", "size=\(bytes)", "tmpfs", url.path])
        // Lazily: a child that another test starts may hold a copy of a descriptor for a moment.
        undo.append(["umount", "--lazy", url.path])
        return url
    }

    /// The bytes of an image or a device, past the page cache where there is one to get past.
    func bytes(_ path: String) throws -> Data {
        let handle = try FileHandle(forReadingFrom: URL(filePath: path))
        defer { try? handle.close() }
        if path.hasPrefix("/dev/loop") { try Command.succeed(["blockdev", "--flushbufs", path]) }
        return try handle.readToEnd() ?? Data()
    }
}

/// Where a program's client works.
enum Host: String, CaseIterable {
    case uring, blocking, daemon

    /// The ones that this build and this machine have.
    static var all: [Host] {
        allCases.filter { host in
            switch host {
            case .uring: ringIsPossible
            case .blocking: true
            case .daemon: Paths.isBuilt(Paths.daemon)
            }
        }
    }

    /// Whether the kernel lets this process have an io_uring; in many containers it does not. Without parameters to read it says
    /// EFAULT to who may.
    private static let ringIsPossible: Bool = {
        guard let workshop = try? Workshop() else { return false }
        let source = workshop.folder.appending(path: "ring.c")
        let text = """
            #define _GNU_SOURCE
            #include <errno.h>
            #include <unistd.h>

            int main(void)
            {
                return syscall(425, 0, (void *)0) == -1 && errno == EFAULT ? 0 : 1;
            }

            """
        guard (try? text.write(to: source, atomically: true, encoding: .utf8)) != nil,
            let program = try? workshop.compile(source), let command = try? Command.run([program])
        else { return false }
        return command.status == 0
    }()
}
