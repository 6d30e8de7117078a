import Dispatch
import Glibc
import Testing

@Suite("Progress on a terminal")
struct TerminalTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// A copy that takes about two seconds: long enough for a bar on a machine that has no time for it at first.
    private func onTerminal(_ options: String, columns: Int = 80, term: String = "xterm") throws -> CommandResult {
        let source = try directory.random("source", 1 << 20)
        let target = try directory.filled("target", 1 << 20)
        let line =
            "stty cols \(columns); \(Binary.path("ucopyctl")) copy --local --rate 512K \(options) \(source) \(target)"
        return try CommandRun(["script", "-qec", line, "/dev/null"], environment: ["TERM": term, "SHELL": "/bin/sh"])
            .wait()
    }

    @Test("there is a bar that is redrawn in place, and taken away before the summary")
    func bar() throws {
        let start = DispatchTime.now()
        let result = try onTerminal("")
        let seconds = Double(DispatchTime.now().uptimeNanoseconds - start.uptimeNanoseconds) / 1e9
        #expect(result.status == 0, "\(result)")
        let frames = result.output.split(separator: "\r").filter { $0.contains("% [") }
        // Five in a second, one at the begin and one at the end.
        #expect(!frames.isEmpty && Double(frames.count) <= 5 * seconds + 2, "\(frames)")
        for frame in frames {
            #expect(frame.hasSuffix("\u{1B}[K"))
            #expect(frame.dropLast(3).utf8.count < 80)
            #expect(frame.contains(" of 1.0 MiB"))
        }
        #expect(result.output.contains("\r\u{1B}[Kcopied 1.0 MiB to 1 destination in "))
    }

    @Test("a narrow terminal gets a narrow line")
    func narrow() throws {
        let result = try onTerminal("", columns: 30)
        let frames = result.output.split(separator: "\r").filter { $0.contains("%") && $0.hasSuffix("\u{1B}[K") }
        #expect(!frames.isEmpty)
        #expect(frames.allSatisfy { $0.dropLast(3).utf8.count < 30 })
    }

    @Test("--quiet, and a terminal that cannot move its cursor, get no bar")
    func quiet() throws {
        #expect(try onTerminal("--quiet").output == "")
        let dumb = try onTerminal("", term: "dumb").output
        #expect(dumb.hasPrefix("copied 1.0 MiB") && !dumb.contains("\u{1B}"))
    }

    @Test("what is no terminal gets one plain line at the end")
    func plain() throws {
        let source = try directory.random("source", 1 << 20)
        let target = try directory.filled("target", 1 << 20)
        let result = try ctl("copy", "--local", "--rate", "2M", source, target)
        #expect(result.errorLines.count == 1)
        #expect(!result.error.contains("\r") && !result.error.contains("\u{1B}"))
    }
}
