import Glibc
import Testing

@Suite("Copying in the program's own process")
struct LocalCopyTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test("a copy to two files makes both equal to the source, and says so in one line")
    func twoDestinations() throws {
        let source = try directory.random("source", 3 << 20)
        let first = try directory.filled("first", 3 << 20)
        let second = try directory.filled("second", 4 << 20)
        let result = try ctl("copy", "--local", source, first, second)
        #expect(result.status == 0, "\(result)")
        #expect(result.output == "")
        #expect(result.error.hasPrefix("copied 3.0 MiB to 2 destinations in "))
        #expect(result.errorLines.count == 1)
        let bytes = try contents(source)
        #expect(try contents(first) == bytes)
        #expect(try contents(second) == bytes + [UInt8](repeating: 0xee, count: 1 << 20))
    }

    @Test("a region is copied to where it is wanted, and nowhere else")
    func regions() throws {
        let source = try directory.random("a@b", 64 * 512)
        let target = try directory.filled("target", 64 * 512)
        let result = try ctl("copy", "--local", "--quiet", "\(source)@8+16", "\(target)@40")
        #expect(result.status == 0, "\(result)")
        #expect(result.output + result.error == "")
        var expected = [UInt8](repeating: 0xee, count: 64 * 512)
        expected.replaceSubrange(40 * 512..<56 * 512, with: try contents(source)[8 * 512..<24 * 512])
        #expect(try contents(target) == expected)
    }

    @Test("a file whose name looks like a region is a file")
    func fileNamedLikeRegion() throws {
        let source = try directory.random("image@8", 8 * 512)
        let target = try directory.filled("target", 8 * 512)
        #expect(try ctl("copy", "--local", source, target).status == 0)
        #expect(try contents(target) == contents(source))
    }

    @Test("two regions of one device are destinations of one job")
    func sameDevice() throws {
        let source = try directory.random("source", 8 * 512)
        let target = try directory.filled("target", 16 * 512)
        let result = try ctl("copy", "--local", "\(source)@0+8", "\(target)@0", "\(target)@8")
        #expect(result.status == 0, "\(result)")
        #expect(try contents(target) == contents(source) + contents(source))
    }

    @Test("a sparse and verified copy with one page is equal to its source")
    func options() throws {
        let source = try directory.random("source", 1 << 20)
        #expect(try ctl("zero", "--local", "\(source)@64+512").status == 0)
        let target = try directory.filled("target", 1 << 20)
        let result = try ctl(
            "copy", "--local", "--sparse", "--verify", "--sequential", "--pages", "1", "--engine", "blocking", source,
            target)
        #expect(result.status == 0, "\(result)")
        #expect(try contents(target) == contents(source))
        #expect(try contents(target)[64 * 512..<576 * 512].allSatisfy { $0 == 0 })
    }

    @Test("--json ends with one object with the result, and numbers in it are numbers")
    func json() throws {
        let source = try directory.random("source", 1 << 20)
        let target = try directory.filled("target", 1 << 20)
        let result = try ctl("copy", "--local", "--json", source, target)
        #expect(result.status == 0)
        #expect(result.output.split(separator: "\n").count == 1)
        for part in [
            #""bytes":1048576,"#, #""totalBytes":1048576,"#, #""cancelled":false"#, #""readError":false"#,
            #""writeErrors":[false]"#,
            #""faults":[]"#, #""resumeAt":2048"#,
        ] { #expect(result.output.contains(part), "\(part) in \(result.output)") }
        #expect(result.output.contains(try Regex(#""seconds":[0-9]"#)))
    }

    @Test("progress lines rise to the total")
    func progress() throws {
        let source = try directory.random("source", 1 << 20)
        let target = try directory.filled("target", 1 << 20)
        let result = try CommandRun(
            ctl: ["copy", "--local", "--rate", "2M", "--progress=7", source, target], pipes: [1, 2, 7]
        ).wait()
        #expect(result.status == 0, "\(result)")
        let lines = result.text(7).split(separator: "\n")
        #expect(lines.last == "1048576/1048576")
        let done = lines.compactMap { $0.split(separator: "/").first.flatMap { UInt64($0) } }
        #expect(done.count == lines.count && lines.allSatisfy { $0.hasSuffix("/1048576") })
        #expect(zip(done, done.dropFirst()).allSatisfy { $0 < $1 })
    }

    @Test("a reader of progress that goes away does not stop the copy")
    func progressReaderGone() throws {
        let source = try directory.random("source", 1 << 20)
        let target = try directory.filled("target", 1 << 20)
        // Descriptor 7 is a pipe whose reader has ended.
        let line = "\(Binary.path("ucopyctl")) copy --local --rate 4M --progress=7 \(source) \(target) 7> >(true)"
        #expect(try CommandRun(["bash", "-c", line]).wait().status == 0)
        #expect(try contents(target) == contents(source))
    }

    @Test("zeroing writes zeroes into its regions only")
    func zero() throws {
        let target = try directory.filled("target", 64 * 512)
        let other = try directory.filled("other", 32 * 512)
        let result = try ctl("zero", "--local", "\(target)@8+32", other)
        #expect(result.status == 0, "\(result)")
        #expect(result.error.hasPrefix("zeroed 16.0 KiB on 2 destinations in "))
        let bytes = try contents(target)
        #expect(bytes[8 * 512..<40 * 512].allSatisfy { $0 == 0 })
        #expect(bytes[..<(8 * 512)].allSatisfy { $0 == 0xee } && bytes[(40 * 512)...].allSatisfy { $0 == 0xee })
        #expect(try contents(other).allSatisfy { $0 == 0 })
    }
}
