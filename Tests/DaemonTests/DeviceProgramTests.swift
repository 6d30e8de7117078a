import ControlAPI
import Glibc
import SystemPackage
import Testing

@testable import Daemon

extension DaemonTests {
    /// Mapped devices of the program ucopyd itself.
    @Suite(.enabled(if: SpawnedDaemon.binary != nil, "ucopyd is not built")) struct DeviceProgramTests {
        private func export(_ daemon: SpawnedDaemon, _ name: String) -> FilePath {
            daemon.socket.removingLastComponent().appending("nbd").appending("\(name).sock")
        }

        @Test(.enabled(if: NBDShell.isPossible, "needs python3-libnbd"))
        func sigtermRemovesTheDevicesWhateverTheirClientsDo() throws {
            let daemon = try #require(try SpawnedDaemon())
            let image = try daemon.directory.image("image", sectors: 16)
            let control = try ControlConnection(path: daemon.socket)
            try control.create("d", "0 16 linear \(image.string) 0")
            try control.create("e", "0 16 zero")
            let client = try NBDShell(export(daemon, "d"))
            #expect(try client("write 0 512 5") == "ok")
            try control.suspend("d")
            #expect(try client("start 512 512 9") == "ok")
            #expect(try client("arrive") == "0")
            #expect(daemon.stop() == 0)
            #expect(try client("finish").hasPrefix("error"))
            #expect(access(export(daemon, "d").string, F_OK) != 0 && access(export(daemon, "e").string, F_OK) != 0)
            let bytes = try image.bytes()
            #expect(bytes[..<512].allSatisfy { $0 == 5 } && bytes[512...].allSatisfy { $0 == 0 })
            let log = try daemon.text("log")
            for line in ["device created device=d", "device suspended device=d", "device removed device=e"] {
                #expect(log.contains(line), "\(log)")
            }
        }

        @Test func theSocketsOfADaemonThatWasKilledAreReplaced() throws {
            let daemon = try #require(try SpawnedDaemon())
            let image = try daemon.directory.image("image", sectors: 16)
            let control = try ControlConnection(path: daemon.socket)
            try control.create("d", "0 16 linear \(image.string) 0")
            daemon.program.signal(SIGKILL)
            #expect(daemon.program.wait() == -SIGKILL)
            #expect(access(export(daemon, "d").string, F_OK) == 0)
            let next = try #require(daemon.startAnother())
            while (try? ControlConnection(path: daemon.socket)) == nil { sched_yield() }
            let again = try ControlConnection(path: daemon.socket)
            #expect(try again.devices().isEmpty)
            try again.create("d", "0 16 linear \(image.string) 0")
            next.signal(SIGTERM)
            #expect(next.wait() == 0)
        }

        @Test(.enabled(if: geteuid() == 0 && access("/usr/bin/python3", X_OK) == 0, "needs the superuser and Python"))
        func anotherUserMayLookAndNothingElse() throws {
            let daemon = try #require(try SpawnedDaemon())
            let control = try ControlConnection(path: daemon.socket)
            try control.create("d", "0 8 zero")
            for folder in [daemon.directory.path, daemon.socket.removingLastComponent()] {
                #expect(chmod(folder.string, 0o755) == 0)
            }
            #expect(chmod(daemon.socket.string, 0o666) == 0)
            let script = """
                import json, os, socket, sys
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                s = socket.socket(socket.AF_UNIX)
                s.connect(sys.argv[1])
                def call(method, **parameters):
                    s.sendall(json.dumps({"method": "io.ucopyd.Target." + method, "parameters": parameters}).encode() + b"\\0")
                    answer = b""
                    while not answer.endswith(b"\\0"):
                        piece = s.recv(65536)
                        assert piece, "closed"
                        answer += piece
                    answer = json.loads(answer[:-1])
                    return answer.get("error") or answer["parameters"]
                denied = "org.varlink.service.PermissionDenied"
                assert call("Create", name="e", table="0 8 zero") == denied
                assert call("Create", name="e") == denied
                for method in ["Remove", "Suspend", "Resume", "Clear"]:
                    assert call(method, device="d") == denied, method
                assert call("Load", device="d", table="0 8 error") == denied
                assert call("Rename", device="d", name="e") == denied
                assert call("Message", device="d", sector=0, text="x") == denied
                assert [d["name"] for d in call("List")["devices"]] == ["d"]
                assert call("Info", device="d")["device"]["sectors"] == 8
                assert call("Table", device="d")["devices"][0]["lines"][0]["target"] == "zero"
                assert call("Status")["devices"][0]["lines"][0]["details"] == {}
                assert call("Dependencies")["devices"][0]["devices"] == []
                nbd = socket.socket(socket.AF_UNIX)
                try:
                    nbd.connect(sys.argv[2])
                    raise SystemExit("reached the device")
                except PermissionError: pass
                """
            let output = daemon.directory.path.appending("python")
            let program = try #require(
                Program.start(
                    "/usr/bin/python3", ["-c", script, daemon.socket.string, export(daemon, "d").string],
                    output: output.string))
            let status = program.wait()
            let said = try daemon.text("python")
            #expect(status == 0, "\(said)")
            #expect(daemon.stop() == 0)
        }
    }
}
