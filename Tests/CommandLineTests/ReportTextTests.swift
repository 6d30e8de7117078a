import ControlAPI
import Glibc
import KCopy
import Testing

@testable import ucopyctl

@Suite("What is told of a job's end")
struct ReportTextTests {
    private func text(_ change: (inout JobReport) -> Void, verb: String = "copy") -> ReportText {
        var result = CopyResult()
        result.copied = 2048
        result.resumeAt = 2048
        var report = JobReport(result, sectors: 2048, destinations: 2, seconds: 0.5)
        change(&report)
        return ReportText(
            verb: verb, source: verb == "zero" ? nil : RegionArgument(path: "/dev/a", sector: 100, count: 2048),
            destinations: [
                RegionArgument(path: "/dev/b", sector: 0, count: 2048),
                RegionArgument(path: "/dev/my disk", sector: 1024, count: 2048),
            ],
            report: report)
    }

    private func fault(_ destination: Int?, _ sector: UInt64, _ count: UInt64, _ errno: Int32) -> CopyInterface.Fault {
        CopyInterface.Fault(destination: destination, sector: sector, count: count, errno: errno, reason: "")
    }

    @Test("success is a summary in one line")
    func summary() {
        #expect(text { _ in }.summary == "copied 1.0 MiB to 2 destinations in 0.50 s (2.0 MiB/s)")
        #expect(text({ _ in }, verb: "zero").summary == "zeroed 1.0 MiB on 2 destinations in 0.50 s (2.0 MiB/s)")
        #expect(text { _ in }.faults.isEmpty)
    }

    @Test("a fault names the device, what was done there, the device's own sector, and why")
    func faults() {
        let lines = text { result in
            result.readError = true
            result.writeErrors = [true, true]
            result.faults = [
                fault(1, 8, 1024, ENOSPC),
                fault(nil, 16, 8, EIO),
                fault(1, 0, 8, EILSEQ),
            ]
        }.faults
        #expect(
            lines == [
                "ucopyctl: /dev/my disk: write at sector 1032+1024: No space left on device",
                "ucopyctl: /dev/a: read at sector 116+8: Input/output error",
                "ucopyctl: /dev/my disk: verify at sector 1024+8: what was read back differs from what was written",
                "ucopyctl: /dev/b: write: errors on some of its sectors",
            ])
    }

    @Test("a job that was stopped says where to go on, in words for a shell")
    func stop() {
        let stopped = text { result in
            result.cancelled = true
            result.bytes = 1024 * 512
            result.resumeAt = 1000
        }
        #expect(
            stopped.stop
                == "ucopyctl: /dev/a: copy: cancelled: 524288 of 1048576 bytes (50%) copied; resume at sector 1000 of the region: "
                + "ucopyctl copy /dev/a@1100+1048 /dev/b@1000 '/dev/my disk@2024'")
        #expect(ReportObject(stopped).resume == ["/dev/a@1100+1048", "/dev/b@1000", "/dev/my disk@2024"])
    }

    @Test(
        "regions are taken out of the command line from its end, and what options are given is none",
        arguments: [
            (["copy", "--verify", "a", "b", "--rate", "1M"], ["a", "b"], ["copy", "--verify", "--rate", "1M"]),
            (["--socket", "b", "copy", "a", "b"], ["a", "b"], ["--socket", "b", "copy"]),
            (["copy", "a", "b", "--socket", "b"], ["a", "b"], ["copy", "--socket", "b"]),
            (["copy", "copy", "copy@8"], ["copy", "copy@8"], ["copy"]),
            (["zero", "--progress", "9", "a", "--progress=9", "--json"], ["a"], ["zero", "--json"]),
            (["copy", "--local", "--", "-a", "--rate", "b"], ["-a", "--rate", "b"], ["copy", "--local", "--"]),
        ] as [([String], [String], [String])])
    func optionsAsGiven(_ arguments: [String], _ regions: [String], _ options: [String]) {
        #expect(ResumeCommand.options(of: arguments, without: regions) == options)
    }

    @Test("a zeroing goes on with counts, because there is no source to tell them")
    func stoppedZero() {
        let stopped = text(
            {
                $0.cancelled = true; $0.resumeAt = 8
            }, verb: "zero")
        #expect(stopped.resume == ["/dev/b@8+2040", "/dev/my disk@1032+2040"])
    }

    @Test("the object has no regions to go on with when nothing is left")
    func object() throws {
        let json = try JSONText.encode(ReportObject(text { $0.writeErrors = [false, true] }))
        #expect(json.contains(#""writeErrors":[false,true]"#))
        #expect(json.contains(#""bytes":1048576,"#))
        #expect(!json.contains("resume\""))
    }
}
