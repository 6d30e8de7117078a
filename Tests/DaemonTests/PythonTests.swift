import ControlAPI
import Glibc
import SystemPackage
import Testing

@testable import Daemon

extension DaemonTests {
    /// Callers that are written in another language, by others.
    @Suite(.enabled(if: SpawnedDaemon.binary != nil, "ucopyd is not built")) struct PythonTests {
        private static var varlinkPython: String? {
            getenv("UCOPYD_TEST_PYTHON").map { String(cString: $0) }.flatMap { access($0, X_OK) == 0 ? $0 : nil }
        }

        private func run(_ python: String, _ script: String, _ arguments: [String], _ daemon: SpawnedDaemon) throws {
            let output = daemon.directory.path.appending("python").string
            let program = try #require(Program.start(python, ["-c", script] + arguments, output: output))
            let status = program.wait()
            let said = try daemon.text("python")
            #expect(status == 0, "\(said)")
        }

        @Test(.enabled(if: varlinkPython != nil, "UCOPYD_TEST_PYTHON names no Python with the package varlink"))
        func thePackageVarlinkIntrospectsAndCalls() throws {
            let daemon = try #require(try SpawnedDaemon())
            let source = try daemon.directory.noise("source", sectors: 2048)
            let target = try daemon.directory.image("target", sectors: 2048)
            let script = """
                import sys, varlink
                client = varlink.Client("unix:" + sys.argv[1])
                client.get_interface("io.ucopyd.Copy")
                with client.open("org.varlink.service") as service:
                    assert "io.ucopyd.Copy" in service.GetInfo()["interfaces"]
                    assert "method Watch" in service.GetInterfaceDescription("io.ucopyd.Copy")["description"]
                with client.open("io.ucopyd.Copy") as copy:
                    number = copy.CreateClient(64, "python", "scrub")["client"]
                    job = copy.Copy(number, {"path": sys.argv[2]}, [{"path": sys.argv[3]}], {"verify": True})["job"]
                    replies = [reply["job"] for reply in copy.Watch(job, None, 10, _more=True)]
                    assert replies[-1]["state"] == "done" and replies[-1]["copiedBytes"] == 2048 * 512, replies
                    assert [j["job"] for j in copy.List()["jobs"]] == [job]
                    try:
                        copy.Cancel(99)
                        raise SystemExit("job 99 was cancelled")
                    except varlink.VarlinkError as error:
                        assert error.error() == "io.ucopyd.Copy.NoSuchJob", error
                        assert error.parameters()["job"] == 99, error
                    copy.DestroyClient(number)
                """
            try run(
                try #require(Self.varlinkPython), script, [daemon.socket.string, source.string, target.string], daemon)
            #expect(try target.bytes() == source.bytes())
            #expect(daemon.stop() == 0)
        }

        @Test(.enabled(if: geteuid() == 0 && access("/usr/bin/python3", X_OK) == 0, "needs the superuser and Python"))
        func anotherUserPassesDescriptorsAndSeesOnlyItsOwn() throws {
            let daemon = try #require(try SpawnedDaemon())
            let source = try daemon.directory.noise("source", sectors: 64)
            let target = try daemon.directory.image("target", sectors: 64)
            let connection = try ControlConnection(path: daemon.socket)
            let client = try connection.client(bytesPerSecond: 0)
            let job = try connection.copy(
                client, source.region(), [.init(path: try daemon.directory.image("other", sectors: 64).string)])
            for folder in [daemon.directory.path, daemon.socket.removingLastComponent()] {
                #expect(chmod(folder.string, 0o755) == 0)
            }
            #expect(chmod(daemon.socket.string, 0o666) == 0)
            let script = """
                import array, json, os, socket, sys
                source = os.open(sys.argv[2], os.O_RDONLY)
                target = os.open(sys.argv[3], os.O_RDWR)
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                s = socket.socket(socket.AF_UNIX)
                s.connect(sys.argv[1])
                def call(method, descriptors=[], **parameters):
                    text = json.dumps({"method": "io.ucopyd.Copy." + method, "parameters": parameters}).encode() + b"\\0"
                    s.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else [])
                    answer = b""
                    while not answer.endswith(b"\\0"):
                        piece = s.recv(65536)
                        assert piece, "closed"
                        answer += piece
                    answer = json.loads(answer[:-1])
                    return answer.get("error") or answer["parameters"]
                client = call("CreateClient", pages=8)["client"]
                denied = "org.varlink.service.PermissionDenied"
                path = {"path": sys.argv[2]}
                assert call("Copy", client=client, source=path, destinations=[{"descriptor": 0}], descriptors=[target]) == denied
                assert call("OpenDevice", path=sys.argv[2]) == denied
                for method in ["Cancel", "Watch", "SetRate"]:
                    answer = call(method, job=int(sys.argv[5]))
                    assert answer == "io.ucopyd.Copy.NoSuchJob", (method, answer)
                for method in ["DestroyClient", "SetRate"]:
                    answer = call(method, client=int(sys.argv[4]))
                    assert answer == "io.ucopyd.Copy.NoSuchClient", (method, answer)
                # What a descriptor does not allow, the daemon does not do either.
                answer = call("Copy", client=client, source={"descriptor": 1}, destinations=[{"descriptor": 0}], descriptors=[source, target])
                assert answer == "io.ucopyd.Copy.Refused", answer
                job = call("Copy", client=client, source={"descriptor": 0}, destinations=[{"descriptor": 1}], descriptors=[source, target])["job"]
                assert call("Watch", job=job)["job"]["state"] == "done"
                everything = call("List")
                assert [c["client"] for c in everything["clients"]] == [client], everything
                assert [j["job"] for j in everything["jobs"]] == [job], everything
                """
            try run(
                "/usr/bin/python3", script,
                [daemon.socket.string, source.string, target.string, "\(client)", "\(job)"], daemon)
            #expect(try target.bytes() == source.bytes())
            #expect(try connection.call(CopyInterface.List.self, .init()).jobs.count == 2)
            #expect(daemon.stop() == 0)
        }
    }
}
