import Glibc
import TestSupport
import Testing

@Suite("Mapped devices from the command line", .enabled(if: TestDaemon.isBuilt))
struct DeviceCommandTests {
    private let directory: TemporaryDirectory
    private let daemon: TestDaemon

    init() throws {
        directory = try TemporaryDirectory()
        daemon = try TestDaemon(in: directory)
    }

    private func output(_ arguments: String...) throws -> String {
        let result = try daemon.start(arguments).wait()
        #expect(result.status == 0 && result.error == "", "\(arguments) \(result)")
        return result.output
    }

    @Test("a device lives from create to remove, and every listing shows it")
    func life() throws {
        let image = try directory.filled("image", 16 * 512)
        for verb in ["ls", "info", "status", "table", "deps"] {
            #expect(try output(verb) == "No devices found\n")
            #expect(try output(verb, "--json") == "[]\n")
        }
        #expect(try output("create", "d", "-u", "UCOPY-d", "--table", "0 8 zero\n8 8 linear \(image) 0") == "")
        #expect(try output("create", "bare", "--notable", "-r") == "")
        #expect(try output("ls") == "bare\nd\n")
        #expect(try output("ls", "--target", "linear") == "d\n")
        #expect(try output("table", "d") == "0 8 zero \n8 8 linear \(image) 0\n")
        #expect(try output("table") == "bare: \nd: 0 8 zero \nd: 8 8 linear \(image) 0\n")
        #expect(try output("table", "--target", "linear") == "d: 8 8 linear \(image) 0\n")
        #expect(try output("status", "UCOPY-d") == "0 8 zero \n8 8 linear \n")
        #expect(try output("deps", "d", "bare") == "d: 1 dependencies\t: (\(image))\nbare: 0 dependencies\t:\n")
        #expect(
            try output("info", "-c", "bare").split(separator: "\n").last
                == "bare               -   - ---r    0    0      0 ")
        #expect(try output("info", "d").contains("NBD socket:        \(directory.path)/run/nbd/d.sock\n"))
        let json = try output("info", "--json", "d")
        for part in [#""bytes":8192"#, #""eventNumber":0"#, #""liveTable":true"#, #""uuid":"UCOPY-d""#] {
            #expect(json.hasPrefix("[{") && json.contains(part), "\(json)")
        }
        #expect(try output("status", "--json", "d").contains(#""details":{}"#))
        #expect(try output("targets").contains("linear           v1."))
        #expect(try output("targets", "--json").contains(#"{"name":"linear","version":[1,"#))
        #expect(try output("rename", "d", "e") == "")
        #expect(try output("rename", "bare", "--setuuid", "UCOPY-bare") == "")
        #expect(try output("wait", "e") == "")
        #expect(try output("wait", "--json", "e", "0").hasPrefix(#"{"eventNumber":1"#))
        #expect(try output("remove", "e", "UCOPY-bare") == "")
        #expect(try output("ls") == "No devices found\n")
    }

    @Test("tables come from a file and from standard input, and take effect with a resume")
    func tables() throws {
        let file = "\(directory.path)/table"
        let shell = { (script: String) in
            try CommandRun(
                ["sh", "-c", script], environment: ["UCOPYD_SOCKET": daemon.socket, "CTL": Binary.path("ucopyctl")]
            ).wait()
        }
        #expect(try shell("printf '# of two\\n0 8 zero\\n\\n8 8 error\\n' > \(file)").status == 0)
        #expect(try output("create", "d", file) == "")
        #expect(try shell("$CTL table d | $CTL reload d && $CTL table d | sed 1d > \(file)").status == 0)
        #expect(try output("table", "--inactive", "d") == "0 8 zero \n8 8 error \n")
        #expect(try output("clear", "d") == "" && output("table", "--inactive", "d") == "\n")
        #expect(try output("load", "d", "--table", "0 4 zero") == "")
        #expect(try output("suspend", "--noflush", "--nolockfs", "d") == "")
        #expect(try output("info", "d").contains("State:             SUSPENDED\nTables present:    LIVE & INACTIVE\n"))
        #expect(try output("resume", "d") == "")
        #expect(try output("table", "d") == "0 4 zero \n")
        let gap = try daemon.ctl("reload", "d", file)
        #expect(gap.status == 1 && gap.error.contains("table line 1, word 1 \"8\": parse: a table begins at sector 0"))
        let missing = try daemon.ctl("create", "e", "\(directory.path)/none")
        #expect(missing.status == 1 && missing.error.hasPrefix("ucopyctl: \(directory.path)/none: open: No such file"))
    }

    @Test("a failure is one line with the device and the reason, and the other names are done")
    func failures() throws {
        #expect(try output("create", "d", "--table", "0 8 zero") == "")
        for (arguments, error) in [
            (["create", "d", "-n"], "d: create: a device of this name exists"),
            (["remove", "x", "d"], "x: remove: no such device"),
            (["suspend", "x"], "x: suspend: no such device"), (["status", "x"], "x: status: no such device"),
            (["wait", "x"], "x: wait: no such device"), (["events", "x"], "x: events: no such device"),
        ] as [([String], String)] {
            let result = try daemon.start(arguments).wait()
            #expect(result.status == 1 && result.error == "ucopyctl: \(error)\n" && result.output == "", "\(result)")
        }
        #expect(try output("ls") == "No devices found\n")
        #expect(try output("create", "d", "--table", "0 8 zero") == "")
        let half = try daemon.ctl("table", "x", "d")
        #expect(half.status == 1 && half.output == "d: 0 8 zero \n", "\(half)")
        let message = try daemon.ctl("message", "d", "0", "hello", "you")
        #expect(message.status == 1 && message.error.contains("\"hello you\""), "\(message)")
    }

    @Test("events are told as they happen, and those of one device end with it")
    func events() throws {
        #expect(try output("create", "d", "--table", "0 8 zero") == "")
        let all = try daemon.start(["events", "--json"])
        let one = try daemon.start(["events", "d"])
        // Something happens until both have heard of something: from then on they hear of everything.
        let busy = try CommandRun(
            ["sh", "-c", "while $CTL suspend d && $CTL resume d; do :; done"],
            environment: ["UCOPYD_SOCKET": daemon.socket, "CTL": Binary.path("ucopyctl")])
        #expect(one.read(1) { $0.contains("Z d suspended\n") || $0.contains("Z d resumed\n") })
        #expect(all.read(1) { $0.contains("\n") })
        busy.signal(SIGTERM)
        _ = busy.wait()
        #expect(try output("remove", "d") == "")
        let lines = one.wait()
        #expect(lines.status == 0 && lines.output.hasSuffix("Z d removed\n"), "\(lines)")
        #expect(all.read(1) { $0.contains(#""kind":"removed""#) })
        let objects = all.text(1).split(separator: "\n")
        #expect(objects.allSatisfy { $0.hasPrefix("{") && $0.hasSuffix("}") } && objects.count >= 2)
        #expect(objects.last?.contains(#""device":"d""#) == true)
    }

    @Test("a store is checked, dumped and repaired without a daemon")
    func store() throws {
        let fresh = try directory.filled("store", 1 << 20, with: 0)
        #expect(try ctl("store", "check", fresh).output == "\(fresh): no store yet: a snapshot would make one\n")
        let other = try directory.filled("other", 1 << 20)
        let checked = try ctl("store", "check", other)
        #expect(checked.status == 1 && checked.output.contains("begins with 0xeeeeeeee"), "\(checked)")
        #expect(try ctl("store", "check", "--json", other).output.contains(#""condition":"unreadable""#))
        for verb in [["dump"], ["repair", "--repair"]] {
            let result = try CommandRun(ctl: ["store"] + verb + [other]).wait()
            #expect(result.status == 1 && result.error.hasPrefix("ucopyctl: \(other): \(verb[0]): "), "\(result)")
        }
        #expect(try contents(other).allSatisfy { $0 == 0xee })
        let missing = try ctl("store", "check", "\(directory.path)/none")
        #expect(missing.status == 1 && missing.error.contains("none: open: No such file"), "\(missing)")
    }
}
