import Glibc
import Testing

/// A daemon of the test's own.
final class TestDaemon {
    let socket: String
    private let run: CommandRun

    /// Whether the daemon's program was built.
    static let isBuilt: Bool = {
        guard let help = try? CommandRun([Binary.path("ucopyd"), "--help"]).wait() else { return false }
        return help.output.contains("--runtime-directory")
    }()

    init(in directory: TemporaryDirectory) throws {
        socket = "\(directory.path)/run/io.ucopyd"
        run = try CommandRun([Binary.path("ucopyd"), "--runtime-directory", "\(directory.path)/run"])
        #expect(run.read(2) { $0.contains("ready") }, "\(run.text(2))")
    }

    deinit { stop(SIGTERM) }

    func stop(_ number: Int32) {
        run.signal(number)
        _ = run.wait()
    }

    /// Runs `ucopyctl` with this daemon.
    func ctl(_ arguments: String...) throws -> CommandResult { try start(arguments).wait() }

    func start(_ arguments: [String], pipes: [Int32] = [1, 2]) throws -> CommandRun {
        try CommandRun(ctl: arguments, environment: ["UCOPYD_SOCKET": socket], pipes: pipes)
    }
}

@Suite("Commanding the daemon", .enabled(if: TestDaemon.isBuilt))
struct DaemonTests {
    private let directory: TemporaryDirectory
    private let daemon: TestDaemon

    init() throws {
        directory = try TemporaryDirectory()
        daemon = try TestDaemon(in: directory)
    }

    private func files(_ bytes: Int) throws -> (source: String, target: String) {
        (try directory.random("source", bytes), try directory.filled("target", bytes))
    }

    @Test("a copy through the daemon is equal to its source, and told of as a local one is")
    func copy() throws {
        let (source, target) = try files(4 << 20)
        let result = try daemon.start(["copy", "--json", "--progress=5", source, target], pipes: [1, 2, 5]).wait()
        #expect(result.status == 0, "\(result)")
        #expect(try contents(target) == contents(source))
        #expect(result.error.hasPrefix("copied 4.0 MiB to 1 destination in "))
        #expect(result.text(5).split(separator: "\n").last == "4194304/4194304")
        #expect(result.output.contains(#""bytes":4194304"#) && result.output.contains(#""writeErrors":[false]"#))
    }

    @Test("a zeroing of two regions of one device")
    func zero() throws {
        let target = try directory.filled("target", 64 * 512)
        let result = try daemon.ctl("zero", "--quiet", "\(target)@0+8", "\(target)@16+8")
        #expect(result.status == 0 && result.error == "", "\(result)")
        let bytes = try contents(target)
        for sector in 0..<64 {
            let isZero = sector < 8 || (16..<24).contains(sector)
            #expect(bytes[sector * 512..<(sector + 1) * 512].allSatisfy { $0 == (isZero ? 0 : 0xee) })
        }
    }

    @Test("what the daemon refuses is told with the object and the rule")
    func refused() throws {
        let (source, target) = try files(16 * 512)
        let result = try daemon.ctl("copy", "\(source)@0+16", "\(target)@8")
        #expect(result.status == 1 && result.output == "")
        #expect(result.error.hasPrefix("ucopyctl: \(target): copy: ") && result.errorLines.count == 1, "\(result)")
        #expect(try contents(target).allSatisfy { $0 == 0xee })
    }

    @Test(
        "errors that the daemon met are told as local ones are, and its good destinations are complete",
        .enabled(if: SmallFileSystem.isPossible))
    func faults() throws {
        let (source, good) = try files(4 << 20)
        let mount = try TemporaryDirectory()
        let small = try SmallFileSystem(on: mount.path, bytes: 1 << 20)
        let full = try small.sparse("full", 4 << 20)
        let result = try daemon.ctl("copy", "--ignore-errors", "--json", source, good, full)
        #expect(result.status == 3, "\(result)")
        #expect(result.output.contains(#""writeErrors":[false,true]"#))
        #expect(
            result.error.contains(
                try Regex("ucopyctl: \(full): write at sector [0-9]+\\+[0-9]+: No space left on device\n")))
        #expect(try contents(good) == contents(source))
        #expect(small.path == mount.path)
    }

    @Test("SIGINT cancels the daemon's job, and the printed command completes the copy")
    func interrupt() throws {
        let (source, target) = try files(4 << 20)
        let run = try daemon.start(["copy", "--rate", "16K", "--progress=5", source, target], pipes: [1, 2, 5])
        #expect(run.read(5) { $0.split(separator: "\n").contains { !$0.hasPrefix("0/") } })
        run.signal(SIGINT)
        let result = run.wait()
        #expect(result.status == 130, "\(result)")
        #expect(try daemon.ctl("jobs", "--json").output.contains(#""state":"cancelled""#))
        let words = try #require(result.error.split(separator: ": ucopyctl ").last).split(
            whereSeparator: \.isWhitespace)
        #expect(words.dropLast(2) == ["copy", "--rate", "16K"], "\(result)")
        #expect(try daemon.start(words.map { $0 == "16K" ? "unlimited" : String($0) }).wait().status == 0)
        #expect(try contents(target) == contents(source))
    }

    @Test("a detached job is listed, repaced, watched to its end by its number, and cancelled")
    func detached() throws {
        let (source, target) = try files(4 << 20)
        let started = try daemon.ctl("copy", "--detach", "--rate", "0", source, target)
        #expect(started.status == 0 && started.error == "", "\(started)")
        let number = started.output.split(separator: "\n").joined()
        #expect(Int(number) != nil)
        let table = try daemon.ctl("jobs").output.split(separator: "\n")
        #expect(
            table.count == 2 && table[1].contains("running") && table[1].contains("held") && table[1].hasSuffix(target))
        #expect(try daemon.ctl("rate", number, "unlimited").status == 0)
        let watched = try daemon.ctl("call", "--more", "io.ucopyd.Copy.Watch", "{\"job\":\(number)}")
        #expect(
            watched.status == 0 && watched.output.split(separator: "\n").last?.contains(#""state":"done""#) == true,
            "\(watched)")
        #expect(try contents(target) == contents(source))
        #expect(try daemon.ctl("cancel", number).output == "job \(number): done: 4.0 MiB of 4.0 MiB\n")

        let other = try daemon.ctl("copy", "--detach", "--json", "--rate", "0%", source, target).output
        let second = try #require(other.split(separator: ":").last).filter(\.isNumber)
        #expect(other == "{\"job\":\(second)}\n")
        let cancelled = try daemon.ctl("cancel", second, "99999")
        #expect(cancelled.status == 1)
        #expect(cancelled.output.hasPrefix("job \(second): cancelled: "))
        #expect(cancelled.error == "ucopyctl: job 99999: cancel: no such job\n")
    }

    @Test("a client that dies takes its job with it")
    func killed() throws {
        let (source, target) = try files(4 << 20)
        let run = try daemon.start(["copy", "--rate", "0", "--progress=5", source, target], pipes: [1, 2, 5])
        #expect(run.read(5) { $0.contains("\n") })
        run.signal(SIGKILL)
        #expect(run.wait().status == 128 + SIGKILL)
        let watched = try daemon.ctl("call", "io.ucopyd.Copy.Watch", #"{"job":1}"#)
        #expect(watched.output.contains(#""state":"cancelled""#), "\(watched)")
    }

    @Test("a daemon that dies is told of, with 1")
    func lost() throws {
        let (source, target) = try files(4 << 20)
        let run = try daemon.start(["copy", "--rate", "0", "--progress=5", source, target], pipes: [1, 2, 5])
        #expect(run.read(5) { $0.contains("\n") })
        daemon.stop(SIGKILL)
        let result = run.wait()
        #expect(result.status == 1)
        #expect(
            result.error.hasPrefix("ucopyctl: \(daemon.socket): watch job 1: ") && result.errorLines.count == 1,
            "\(result)")
        let after = try daemon.ctl("jobs")
        #expect(after.status == 1 && after.error.contains("Connection refused; start the daemon"), "\(after)")
    }

    @Test("a destination may be used again as soon as a copy to it has ended", .enabled(if: LoopDevice.isPossible))
    func released() throws {
        let source = try directory.random("source", 1 << 20)
        let loop = try LoopDevice(try directory.filled("target", 1 << 20))
        for _ in 0..<10 {
            let result = try daemon.ctl("copy", source, loop.path)
            #expect(result.status == 0, "\(result)")
        }
        #expect(try contents(loop.path) == contents(source))
    }

    @Test("version, introspect and call speak with the service")
    func service() throws {
        #expect(try daemon.ctl("version").output.split(separator: "\n").last?.hasPrefix("ucopyd ") == true)
        #expect(try daemon.ctl("version", "--json").output.contains(#""ucopyd":""#))
        #expect(try daemon.ctl("introspect").output == "org.varlink.service\nio.ucopyd.Copy\nio.ucopyd.Target\n")
        #expect(try daemon.ctl("introspect", "io.ucopyd.Copy").output.contains("interface io.ucopyd.Copy\n"))
        let unknown = try daemon.ctl("introspect", "no.such")
        #expect(unknown.status == 1 && unknown.error.contains("org.varlink.service.InterfaceNotFound"), "\(unknown)")
        #expect(try daemon.ctl("call", "io.ucopyd.Copy.List").output.split(separator: "\n").count == 1)
        let missing = try daemon.ctl("call", "io.ucopyd.Copy.None")
        #expect(
            missing.status == 1
                && missing.error.hasPrefix("ucopyctl: io.ucopyd.Copy.None: call: org.varlink.service.MethodNotFound"))
    }

    @Test("the list is empty before there are jobs")
    func empty() throws {
        #expect(try daemon.ctl("jobs", "--json").output == "[]\n")
        #expect(try daemon.ctl("jobs").output.split(separator: "\n").count == 1)
    }
}
