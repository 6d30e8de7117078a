import ControlAPI
import Dispatch
import Glibc
import SystemPackage
import Testing

@testable import Daemon

extension DaemonTests {
    /// The program ucopyd itself, in a process of its own.
    @Suite(.enabled(if: SpawnedDaemon.binary != nil, "ucopyd is not built")) struct ProgramTests {
        private func isThere(_ path: FilePath) -> Bool { access(path.string, F_OK) == 0 }

        /// A copy that takes about a minute, and who watches it.
        private func startLongCopy(_ daemon: SpawnedDaemon) throws -> (ControlConnection, client: Int, job: Int) {
            let source = try daemon.directory.noise("source", sectors: 2048)
            let target = try daemon.directory.image("target", sectors: 2048)
            let connection = try ControlConnection(path: daemon.socket)
            let client = try connection.client(bytesPerSecond: 16384)
            return (connection, client, try connection.copy(client, source.region(), [target.region()]))
        }

        @Test func sigtermCancelsTheJobsTellsTheirWatchersAndLeavesNothingBehind() throws {
            let daemon = try #require(try SpawnedDaemon())
            let (connection, _, job) = try startLongCopy(daemon)
            let watcher = try ControlConnection(path: daemon.socket)
            let last = try watcher.watch(job: job, interval: 10) { report in
                if report.state == .running { daemon.program.signal(SIGTERM) }
                return true
            }
            #expect(last?.state == .cancelled)
            // The job would have ended with its connection.
            withExtendedLifetime(connection) {}
            #expect(daemon.notify.wait(for: "STOPPING=1") != nil)
            #expect(daemon.program.wait() == 0)
            #expect(!isThere(daemon.socket))
            #expect(try daemon.text("log").contains("engine chosen"))
        }

        @Test func aSecondSigtermCancelsJobsThatWereToFinish() throws {
            let daemon = try #require(try SpawnedDaemon(["--on-stop", "finish"]))
            let (connection, _, job) = try startLongCopy(daemon)
            daemon.program.signal(SIGTERM)
            #expect(daemon.notify.wait(for: "STOPPING=1") != nil)
            // It still works on what it has, and takes nothing else.
            while failure({ try connection.end(try connection.client()) }) == nil { sched_yield() }
            #expect(try connection.call(CopyInterface.List.self, .init()).jobs.first?.state == .running)
            let last = try connection.watch(job: job, interval: 10) { report in
                if report.state == .running { daemon.program.signal(SIGTERM) }
                return true
            }
            #expect(last?.state == .cancelled)
            #expect(daemon.program.wait() == 0)
        }

        @Test func withFinishTheJobsComeToTheirEnd() throws {
            let daemon = try #require(try SpawnedDaemon(["--on-stop", "finish"]))
            let (connection, client, job) = try startLongCopy(daemon)
            daemon.program.signal(SIGTERM)
            #expect(daemon.notify.wait(for: "STOPPING=1") != nil)
            let watcher = try ControlConnection(path: daemon.socket)
            let last = try watcher.watch(job: job, interval: 10) { report in
                if report.state == .running { #expect(throws: Never.self) { try connection.setRate(client, nil) } }
                return true
            }
            #expect(last?.state == .done)
            #expect(daemon.program.wait() == 0)
            let copy = try daemon.directory.path.appending("target").bytes()
            #expect(try copy == daemon.directory.path.appending("source").bytes())
        }

        @Test func finishingIsBoundedByTheStopTimeout() throws {
            let daemon = try #require(try SpawnedDaemon(["--on-stop", "finish", "--stop-timeout", "0"]))
            let (connection, _, job) = try startLongCopy(daemon)
            let last = try connection.watch(job: job, interval: 10) { report in
                if report.state == .running { daemon.program.signal(SIGTERM) }
                return true
            }
            #expect(last?.state == .cancelled)
            #expect(daemon.program.wait() == 0)
        }

        @Test func aSecondDaemonOnTheSameDirectoryRefusesToStart() throws {
            let daemon = try #require(try SpawnedDaemon())
            let second = try #require(daemon.startAnother())
            #expect(second.wait() == 1)
            #expect(try daemon.text("log2").contains("another daemon uses this runtime directory"))
            #expect(try ControlConnection(path: daemon.socket).call(CopyInterface.List.self, .init()).jobs.isEmpty)
            #expect(daemon.stop() == 0)
        }

        @Test func aDaemonReplacesTheSocketOfOneThatWasKilled() throws {
            let daemon = try #require(try SpawnedDaemon())
            daemon.program.signal(SIGKILL)
            #expect(daemon.program.wait() == -SIGKILL)
            #expect(isThere(daemon.socket))
            let next = try #require(daemon.startAnother())
            #expect(daemon.notify.wait(for: "READY=1") != nil)
            #expect(try ControlConnection(path: daemon.socket).call(CopyInterface.List.self, .init()).clients.isEmpty)
            next.signal(SIGTERM)
            #expect(next.wait() == 0)
        }

        @Test(.enabled(if: access("/usr/bin/systemd-socket-activate", X_OK) == 0))
        func itTakesOverTheSocketThatTheManagerPasses() throws {
            let daemon = try #require(
                try SpawnedDaemon(
                    through: ["/usr/bin/systemd-socket-activate", "-E", "NOTIFY_SOCKET", "-l", "SOCKET"],
                    isAwaited: false))
            let socket = FilePath("\(daemon.directory.path)/run.socket")
            // The first connection starts it.
            var first: ControlConnection?
            while first == nil, daemon.program.isRunning {
                first = try? ControlConnection(path: socket)
                sched_yield()
            }
            #expect(daemon.notify.wait(for: "READY=1") != nil)
            #expect(try first?.call(CopyInterface.List.self, .init()).clients.isEmpty == true)
            #expect(!isThere(daemon.socket))
            #expect(daemon.stop() == 0)
            // The socket is the manager's.
            #expect(isThere(socket))
        }

        @Test func itPingsTheWatchdogWhileItAnswers() throws {
            let daemon = try #require(try SpawnedDaemon(environment: ["WATCHDOG_USEC": "300000"]))
            #expect(daemon.notify.wait(for: "WATCHDOG=1") != nil)
            #expect(daemon.notify.wait(for: "WATCHDOG=1") != nil)
            #expect(daemon.stop() == 0)
        }

        /// What it has for itself; how much of the program and its libraries is mapped beside it is the system's choice.
        @Test func anIdleDaemonNeedsLessThan32MiB() throws {
            let daemon = try #require(try SpawnedDaemon())
            let connection = try ControlConnection(path: daemon.socket)
            for _ in 0..<50 { try connection.end(try connection.client(pages: 4096)) }
            let status = try FilePath("/proc/\(daemon.program.id)/status").bytes()
            let line = String(decoding: status, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("RssAnon:") }
            let kilobytes = line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap {
                Int($0)
            }
            #expect(try #require(kilobytes) < 32 * 1024)
            #expect(daemon.stop() == 0)
        }

        @Test(arguments: [["--engine", "ring"], ["--lanes", "0"], ["--stop-timeout", "-1"], ["extra"]])
        func wrongOptionsAreRefused(arguments: [String]) throws {
            let binary = try #require(SpawnedDaemon.binary)
            #expect(Program.start(binary, arguments)?.wait() == 64)
        }

        @Test func theManualPageHasTheOptionsThatHelpShows() throws {
            let directory = try TemporaryDirectory()
            let output = directory.path.appending("help")
            let binary = try #require(SpawnedDaemon.binary)
            #expect(Program.start(binary, ["--help"], output: output.string)?.wait() == 0)
            let help = String(decoding: try output.bytes(), as: UTF8.self)
            let page = FilePath(#filePath).removingLastComponent().removingLastComponent().removingLastComponent()
                .appending("Docs").appending("ucopyd.8")
            let text = String(decoding: try page.bytes(), as: UTF8.self)
            let shown = Set(help.matches(of: /--[a-z]+(-[a-z]+)*/).map { String($0.output.0.dropFirst(2)) })
            let described = Set(text.matches(of: /Fl -([a-z]+(-[a-z]+)*)/).map { String($0.output.1) })
            #expect(shown == described && shown.count > 5)
        }

        @Test func killingAClientInTheMiddleOfAJobCancelsItAndGivesItsPagesBack() throws {
            let daemon = try #require(try SpawnedDaemon())
            let source = try daemon.directory.noise("source", sectors: 2048)
            let target = try daemon.directory.image("target", sectors: 2048)
            let script = """
                import json, socket, sys, time
                s = socket.socket(socket.AF_UNIX)
                s.connect(sys.argv[1])
                def call(method, **parameters):
                    s.sendall(json.dumps({"method": "io.ucopyd.Copy." + method, "parameters": parameters}).encode() + b"\\0")
                    return json.loads(s.recv(65536).split(b"\\0")[0])["parameters"]
                client = call("CreateClient", pages=64, bytesPerSecond=16384)["client"]
                call("Copy", client=client, source={"path": sys.argv[2]}, destinations=[{"path": sys.argv[3]}])
                n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                n.sendto(b"STARTED", sys.argv[4])
                time.sleep(600)
                """
            let python = try #require(
                Program.start(
                    "/usr/bin/python3",
                    ["-c", script, daemon.socket.string, source.string, target.string, daemon.notify.path.string]))
            #expect(daemon.notify.wait(for: "STARTED") != nil)
            let connection = try ControlConnection(path: daemon.socket)
            let job = try #require(try connection.call(CopyInterface.List.self, .init()).jobs.first)
            #expect(job.state == .running)
            python.signal(SIGKILL)
            #expect(python.wait() == -SIGKILL)
            #expect(try connection.wait(job: job.job)?.state == .cancelled)
            #expect(try target.isUnclaimed())
            while try !connection.call(CopyInterface.List.self, .init()).clients.isEmpty { sched_yield() }
            #expect(daemon.stop() == 0)
        }
    }
}

extension FilePath {
    /// The whole file.
    func bytes() throws -> [UInt8] {
        let file = try FileDescriptor.open(self, .readOnly, options: [.closeOnExec])
        return try file.closeAfter {
            var all: [UInt8] = []
            var piece = [UInt8](repeating: 0, count: 1 << 20)
            while case let count = try piece.withUnsafeMutableBytes({ try file.read(into: $0) }), count > 0 {
                all += piece[..<count]
            }
            return all
        }
    }
}
