import Glibc
import Testing

@Suite("Exit statuses and messages")
struct ExitStatusTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @Test(
        "misuse ends with 2, in one line that names the rule, with nothing on standard output",
        arguments: [
            ([], "Missing verb"), (["frob"], "unknown verb 'frob': one of copy, zero, "),
            (["frob", "a", "b"], "command line: usage: unknown verb 'frob': one of copy, zero, "),
            (["--socket", "copy", "frob", "copy", "b"], "unknown verb 'frob'"),
            (["copy"], "<src>"), (["copy", "a"], "<dst>"),
            (["zero"], "<dst>"),
            (["copy", "--pages", "0", "a", "b"], "1 to 262144 pages"),
            (["copy", "--pages", "-1", "a", "b"], "1 to 262144 pages"),
            (["copy", "--pages=-1", "a", "b"], "1 to 262144 pages"),
            (["copy", "--pages", "262145", "a", "b"], "1 to 262144 pages"),
            (["copy", "--pages", "99999999999999999999", "a", "b"], "1 to 262144 pages"),
            (["copy", "s", "1", "2", "3", "4", "5", "6", "7", "8", "9"], "1 to 8 destinations, not 9"),
            (["zero", "1", "2", "3", "4", "5", "6", "7", "8", "9"], "1 to 8 destinations, not 9"),
            (["copy", "--rate", "fast", "a", "b"], "a rate is"), (["copy", "--rate", "-5", "a", "b"], "a rate is"),
            (["copy", "--engine", "uring", "a", "b"], "needs --local"),
            (["copy", "--local", "--engine", "steam", "a", "b"], "auto, uring, blocking"),
            (["copy", "--local", "--detach", "a", "b"], "excludes --local"),
            (["copy", "--priority", "high", "a", "b"], "copyOnWrite"),
            (["copy", "--progress=88", "a", "b"], "not open for writing"),
            (["copy", "--progress=x", "a", "b"], "a number"),
            (["copy", "--local", "a@18446744073709551616", "b"], "beyond"),
            (["copy", "--local", "a", "b@1+18446744073709551615"], "beyond"),
            (["copy", "--local", "", "b"], "empty"), (["copy", "--frob", "a", "b"], "--frob"),
            (["zero", "--sparse", "a"], "--sparse"),
            (["cancel"], "<job>"), (["cancel", "x"], "number"), (["rate", "1"], "<rate>"),
            (["rate", "1", "x"], "a rate is"),
            (["create"], "<name>"), (["create", "d", "--table", "0 1 zero", "-n"], "exclude each other"),
            (["create", "d", "file", "--table", "0 1 zero"], "exclude each other"),
            (["create", "d", "--table", "0 1 zero", "--pages", "0"], "1 page"),
            (["create", "d", "--table", "0 1 zero", "--overflow", "x"], "invalidate, hold, detach"),
            (["reload"], "<name>"), (["load", "d", "file", "--table", "0 1 zero"], "exclude each other"),
            (["remove"], "<name>"), (["suspend"], "<name>"), (["resume", "--force", "d"], "--force"),
            (["clear"], "<name>"), (["rename", "d"], "a new name or --setuuid"),
            (["rename", "d", "e", "--setuuid", "u"], "a new name or --setuuid"),
            (["message", "d", "x", "y"], "a sector is a number"), (["message", "d", "0"], "<text>"),
            (["wait", "d", "x"], "an event number"), (["wait", "d", "-1"], "-1"),
            (["wait", "d", "--until", "doom"], "mergeFinished"),
            (["wait", "d", "3", "--until", "removed"], "exclude each other"), (["ls", "d"], "d"),
            (["store"], "check, dump or repair"), (["store", "frob", "a"], "frob"), (["store", "check"], "<device>"),
            (["store", "repair", "a"], "--repair says that it is meant"),
            (["call", "List"], "no interface"), (["call", "a.B", "[1]"], "not a JSON object"),
            (["call", "a.B", "{"], "not a JSON object"),
        ] as [([String], String)])
    func usage(_ arguments: [String], _ part: String) throws {
        let result = try CommandRun(ctl: arguments).wait()
        #expect(result.status == 2, "\(result)")
        #expect(result.output == "")
        #expect(result.errorLines.count == 1 && result.error.hasPrefix("ucopyctl: "))
        #expect(result.error.contains(part), "\(result)")
    }

    @Test(
        "help, the version and completion scripts are results",
        arguments: [
            (["--help"], "SUBCOMMANDS"), (["copy", "--help"], "--sparse"), (["help", "zero"], "--pages"),
            (["--version"], "ucopyctl "),
            (["--generate-completion-script", "bash"], "complete "),
            (["--generate-completion-script", "zsh"], "#compdef ucopyctl"),
            (["--generate-completion-script", "fish"], "complete -c 'ucopyctl'"),
        ] as [([String], String)])
    func help(_ arguments: [String], _ part: String) throws {
        let result = try CommandRun(ctl: arguments).wait()
        #expect(result.status == 0 && result.error == "", "\(result)")
        #expect(result.output.contains(part), "\(result)")
    }

    @Test("a device that is not there ends with 1, naming it and why")
    func missing() throws {
        let source = try directory.random("source", 4096)
        let result = try ctl("copy", "--local", source, "\(directory.path)/none")
        #expect(result.status == 1)
        // In /dev it would be a device's name.
        let hint = directory.path.hasPrefix("/dev/") ? "" : "; create an image file first (truncate -s SIZE)"
        #expect(result.error == "ucopyctl: \(directory.path)/none: open: No such file or directory\(hint)\n")
        #expect(result.output == "")
        #expect(
            try ctl("copy", "--local", source, "/dev/no such").error
                == "ucopyctl: /dev/no such: open: No such file or directory\n")
    }

    @Test("a name with a line break cannot forge a second line")
    func forged() throws {
        let result = try ctl("copy", "--local", "no\nsuch", "x")
        #expect(result.error == "ucopyctl: no\\x0asuch: open: No such file or directory\n")
    }

    @Test("a destination that is too small is refused with the numbers, and stays as it was")
    func tooSmall() throws {
        let source = try directory.random("source", 16 * 512)
        let target = try directory.filled("target", 8 * 512)
        let result = try ctl("copy", "--local", "--json", source, target)
        #expect(result.status == 1 && result.output == "", "\(result)")
        #expect(
            result.error.contains("\(target): copy: ") && result.error.contains("0+16") && result.error.contains(" 8"))
        #expect(try contents(target).allSatisfy { $0 == 0xee })
    }

    @Test("a region that begins behind the end, a file that ends inside a sector, a directory: refused")
    func unsuitable() throws {
        let source = try directory.random("source", 16 * 512)
        let odd = try directory.filled("odd", 1000)
        #expect(
            try ctl("copy", "--local", "\(source)@17", source).error.contains(
                "sector 17 is behind its end: it has 16 sectors"))
        #expect(try ctl("copy", "--local", odd, source).error.contains("1000 bytes"))
        #expect(
            try ctl("copy", "--local", directory.path, source).error.contains(
                "neither a block device nor an image file"))
        #expect(try ctl("copy", "--local", "\(source)@0+8", "\(source)@4").error.contains("overlaps"))
    }

    @Test("a region without sectors is an error: nothing was copied")
    func nothing() throws {
        let source = try directory.random("source", 16 * 512)
        let empty = try directory.filled("empty", 0)
        let target = try directory.filled("target", 16 * 512)
        for (region, path) in [(empty, empty), ("\(source)@16", source), ("\(source)@3+0", source)] {
            let copy = try ctl("copy", "--local", region, target)
            #expect(copy.status == 1 && copy.output == "")
            #expect(
                copy.error == "ucopyctl: \(path): copy: there is nothing to copy: the region has no sectors\n")
        }
        let zero = try ctl("zero", "--local", "\(target)@16")
        #expect(zero.status == 1)
        #expect(zero.error == "ucopyctl: \(target): zero: there is nothing to zero: the region has no sectors\n")
        #expect(try contents(target).allSatisfy { $0 == 0xee })
    }

    @Test("without a daemon the message says what to start, or what to add")
    func noDaemon() throws {
        let source = try directory.random("source", 4096)
        let target = try directory.filled("target", 4096)
        let socket = "\(directory.path)/none"
        let result = try ctl("copy", source, target, environment: ["UCOPYD_SOCKET": socket])
        #expect(result.status == 1)
        #expect(result.error.hasPrefix("ucopyctl: \(socket): connect: No such file or directory; "))
        #expect(result.error.contains("systemctl start ucopyd") && result.error.contains("--local"))
        let jobs = try ctl("jobs", "--socket", socket)
        #expect(jobs.status == 1 && jobs.error.contains("systemctl start ucopyd") && !jobs.error.contains("--local"))
        #expect(try ctl("--socket", socket, "jobs").error == jobs.error)
        #expect(try contents(target).allSatisfy { $0 == 0xee })
    }

    @Test("results that nobody gets are a failure", arguments: [true, false])
    func standardOutput(isClosed: Bool) throws {
        let source = try directory.random("source", 4096)
        let target = try directory.filled("target", 4096)
        let arguments = ["copy", "--local", "--json", source, target]
        let run =
            isClosed
            ? try CommandRun(ctl: arguments, pipes: [2], closed: [1])
            : try CommandRun(ctl: arguments, pipes: [2], onto: [1: "/dev/full"])
        let result = run.wait()
        #expect(result.status == 1)
        #expect(result.errorLines.last?.hasPrefix("ucopyctl: standard output: write: ") == true, "\(result)")
        // What was to be printed must not have gone into a device that was opened in its place.
        #expect(try contents(source) == contents(target))
    }

    @Test(
        "errors that are passed over end with 3, others with 1; each names the device, the sectors and why",
        .enabled(if: SmallFileSystem.isPossible))
    func faults() throws {
        let source = try directory.random("source", 4 << 20)
        let mount = try TemporaryDirectory()
        let small = try SmallFileSystem(on: mount.path, bytes: 1 << 20)
        let good = try directory.filled("good", 4 << 20)
        let full = try small.sparse("full", 4 << 20)
        let passed = try ctl("copy", "--local", "--ignore-errors", "--json", source, full, good)
        #expect(passed.status == 3, "\(passed)")
        #expect(passed.output.contains(#""writeErrors":[true,false]"#) && passed.output.contains(#""readError":false"#))
        #expect(
            passed.error.contains(
                try Regex("ucopyctl: \(full): write at sector [0-9]+\\+[0-9]+: No space left on device\n")))
        #expect(try contents(good) == contents(source))
        let stopped = try ctl("copy", "--local", "--json", source, full)
        #expect(stopped.status == 1, "\(stopped)")
        #expect(stopped.output.contains(#""writeErrors":[true]"#) && stopped.output.contains(#""resume":["#))
        #expect(stopped.errorLines.last?.contains("stopped: ") == true)
        #expect(small.path == mount.path)
    }

    @Test("a destination that is held is refused, unless forced", .enabled(if: LoopDevice.isPossible))
    func held() throws {
        let source = try directory.random("source", 1 << 20)
        let loop = try LoopDevice(try directory.filled("target", 1 << 20))
        let holder = open(loop.path, O_RDONLY | O_EXCL | O_CLOEXEC)
        defer { close(holder) }
        let refused = try ctl("copy", "--local", source, loop.path)
        #expect(refused.status == 1 && refused.error.hasPrefix("ucopyctl: \(loop.path): open: "), "\(refused)")
        #expect(try contents(loop.path).allSatisfy { $0 == 0xee })
        let forced = try ctl("copy", "--local", "--force", source, loop.path)
        #expect(forced.status == 0, "\(forced)")
        #expect(try contents(loop.path) == contents(source))
    }

    @Test("a device is free again when a copy to it has ended", .enabled(if: LoopDevice.isPossible))
    func released() throws {
        let source = try directory.random("source", 1 << 20)
        let loop = try LoopDevice(try directory.filled("target", 1 << 20))
        for _ in 0..<10 {
            let result = try ctl("copy", "--local", source, loop.path)
            #expect(result.status == 0, "\(result)")
        }
        #expect(try contents(loop.path) == contents(source))
    }
}
