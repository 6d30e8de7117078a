import Glibc
import Testing

@Suite("Interrupting a copy")
struct InterruptTests {
    private let directory: TemporaryDirectory

    /// A rate at which a copy is far from its end whenever it is interrupted: the first piece goes at once, the next one waits.
    private static let slow = "16K"

    init() throws { directory = try TemporaryDirectory() }

    /// The same command without the rate's delay.
    private static func fast(_ command: some StringProtocol) -> String {
        command.split(separator: "--rate \(slow) ").joined(separator: "--rate unlimited ")
    }

    @Test(
        "SIGINT and SIGTERM cancel the job; the command that is printed completes the copy",
        arguments: [SIGINT, SIGTERM])
    func resume(_ number: Int32) throws {
        let source = try directory.random("source file", 8 << 20)
        let target = try directory.filled("target", 9 << 20)
        let run = try CommandRun(
            ctl: [
                "copy", "--local", "--rate", Self.slow, "--progress=9", "--json", "\(source)@1024+14336", "\(target)@8",
            ],
            pipes: [1, 2, 9])
        #expect(run.read(9) { $0.split(separator: "\n").contains { !$0.hasPrefix("0/") } })
        run.signal(number)
        let result = run.wait()
        #expect(result.status == 130, "\(result)")
        #expect(result.output.contains(#""cancelled":true"#))
        #expect(
            result.errorLines.count == 1 && result.error.hasPrefix("ucopyctl: \(source): copy: cancelled: "),
            "\(result)")
        #expect(try contents(target) != contents(source))

        let command = try #require(result.error.split(separator: "region: ").last).dropFirst("ucopyctl".count)
        let resumed = try CommandRun(["sh", "-c", Binary.path("ucopyctl") + Self.fast(command)]).wait()
        #expect(resumed.status == 0, "\(command): \(resumed)")
        let wanted = try contents(source)[1024 * 512..<15360 * 512]
        #expect(try contents(target)[8 * 512..<(14336 + 8) * 512].elementsEqual(wanted))
        #expect(try contents(target)[..<(8 * 512)].allSatisfy { $0 == 0xee })
        #expect(try contents(target)[((14336 + 8) * 512)...].allSatisfy { $0 == 0xee })
    }

    @Test("the command that is printed has the options that were given")
    func options() throws {
        let source = try directory.random("source", 3 << 20)
        let target = try directory.filled("target", 3 << 20)
        let run = try CommandRun(
            ctl: [
                "copy", "--local", "--verify", "--rate", Self.slow, "--progress", "9", "--priority", "scrub", source,
                target,
            ], pipes: [1, 2, 9])
        #expect(run.read(9) { $0.split(separator: "\n").contains { !$0.hasPrefix("0/") } })
        run.signal(SIGINT)
        let result = run.wait()
        #expect(result.status == 130, "\(result)")
        let command = try #require(result.error.split(separator: "region: ").last).dropFirst("ucopyctl".count)
        #expect(
            command.hasPrefix(" copy --local --verify --rate \(Self.slow) --priority scrub \(source)@"), "\(command)")
        let resumed = try CommandRun(["sh", "-c", Binary.path("ucopyctl") + Self.fast(command)]).wait()
        #expect(resumed.status == 0, "\(command): \(resumed)")
        #expect(try contents(target) == contents(source))
    }

    @Test("a job that is held by its rate can be interrupted")
    func held() throws {
        let source = try directory.random("source", 1 << 20)
        let target = try directory.filled("target", 1 << 20)
        let run = try CommandRun(
            ctl: ["copy", "--local", "--rate", "0", "--progress=9", source, target], pipes: [1, 2, 9])
        #expect(run.read(9) { $0.contains("\n") })
        run.signal(SIGINT)
        let result = run.wait()
        #expect(result.status == 130, "\(result)")
        #expect(result.error.contains("0 of 1048576 bytes (0%) copied; resume at sector 0"))
        #expect(try contents(target).allSatisfy { $0 == 0xee })
    }
}
