import FoundationEssentials
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Varlink

private let pythonInterpreter = getenv("UCOPYD_TEST_PYTHON").map { String(cString: $0) }

/// The `varlink` package of Python is an implementation that shares nothing with this one.
///
/// Set UCOPYD_TEST_PYTHON to an interpreter that has it (`python3 -m venv V && V/bin/pip install varlink`).
@Suite("Interoperation with Python's varlink", .enabled(if: pythonInterpreter != nil, "UCOPYD_TEST_PYTHON is not set"))
struct PythonTests {
    private static let script = """
        import sys
        import varlink

        with varlink.Client(address="unix:" + sys.argv[1]) as client:
            with client.open("org.varlink.service") as service:
                info = service.GetInfo()
                assert info["vendor"] == "ucopyd", info
                assert info["interfaces"] == ["org.varlink.service", "io.ucopyd.test"], info
            with client.open("io.ucopyd.test") as test:
                assert test.Echo("hello \\u00fc")["text"] == "hello \\u00fc"
                assert [r["value"] for r in test.Count(4, _more=True)] == [1, 2, 3, 4]
                try:
                    test.Refuse()
                    raise SystemExit("Refuse did not fail")
                except varlink.VarlinkError as error:
                    assert error.error() == "io.ucopyd.test.Refused", error
                    assert error.parameters()["reason"] == "as asked", error
                try:
                    test.Missing()
                    raise SystemExit("Missing did not fail")
                except varlink.MethodNotImplemented as error:
                    assert error.parameters()["method"] == "io.ucopyd.test.Missing", error
                test.Echo("unanswered", _oneway=True)
                assert test.Echo("last")["text"] == "last"
        """

    @Test("Python reads the descriptions and calls methods, streams and errors")
    func python() throws {
        let test = try TestService()
        let interpreter = try #require(pythonInterpreter)
        let script = test.folder.path.appending("client.py")
        try Data(Self.script.utf8).write(to: URL(filePath: script.string))
        let words: [String] = [interpreter, script.string, test.folder.socket.string]
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { arguments.forEach { free($0) } }
        var process: pid_t = 0
        let result = Program.quietly { posix_spawn(&process, interpreter, nil, nil, &arguments, environ) }
        try #require(result == 0)
        var status: CInt = -1
        while waitpid(process, &status, 0) < 0 { try #require(errno == EINTR) }
        #expect(status == 0, "the script's own message is above")
        #expect(test.echoed.all == ["hello ü", "unanswered", "last"])
    }
}
