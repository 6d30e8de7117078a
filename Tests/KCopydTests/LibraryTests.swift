import Foundation
import Testing

private let isBuilt = Paths.isBuilt(Paths.library)

@Suite("The library and its header", .enabled(if: isBuilt, "build the product kcopyd first"))
struct LibraryTests {
    let workshop: Workshop

    init() throws { workshop = try Workshop() }

    @Test("exports the calls of the header, versioned, and nothing else")
    func exports() throws {
        let symbols = try Command.succeed(["nm", "-D", "--defined-only", "--extern-only", Paths.library.path])
            .split(separator: "\n").compactMap { $0.split(separator: " ").last }
        let header = try String(contentsOf: Paths.include.appending(path: "kcopyd.h"), encoding: .utf8)
        let declared = header.matches(of: /(kcopyd_[a-z_]+)\([^)]/).map { String($0.1) }
        let expected = Set(declared.filter { name in !name.hasSuffix("_fn") }.map { "\($0)@@KCOPYD_0" })
        // Some linkers list the version itself as a symbol.
        #expect(Set(symbols.map(String.init)).subtracting(["KCOPYD_0"]) == expected)
        #expect(expected.contains("kcopyd_version@@KCOPYD_0"))
    }

    @Test("is called libkcopyd.so.0, stays loaded, and needs no Swift")
    func dynamicSection() throws {
        let section = try Command.succeed(["readelf", "--dynamic", "--wide", Paths.library.path])
        #expect(section.contains("Library soname: [libkcopyd.so.0]"))
        #expect(section.contains("NODELETE"))
        let needed = section.split(separator: "\n").filter { $0.contains("(NEEDED)") }
        #expect(!needed.isEmpty)
        #expect(!needed.contains { $0.localizedCaseInsensitiveContains("swift") || $0.contains("dispatch") })
    }

    @Test(
        "has a header that stands alone in strict C99, C11 and C++",
        arguments: ["c99", "c11", "c++98", "c++11", "c++20"])
    func header(standard: String) throws {
        let isC = !standard.contains("+")
        let file = workshop.folder.appending(path: isC ? "header.c" : "header.cpp")
        // An empty translation unit is no strict C.
        try "#define __STDC_LIMIT_MACROS\n#include <kcopyd.h>\nint kcopyd_header_ok;\n".write(
            to: file, atomically: true, encoding: .utf8)
        try Command.succeed([
            isC ? "cc" : "c++", "-std=\(standard)", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only",
            "-I\(Paths.include.path)", file.path,
        ])
    }

    @Test("keeps the classic signatures to the letter")
    func signatures() throws {
        let file = workshop.folder.appending(path: "signatures.c")
        try """
        #include <kcopyd.h>
        int (*create)(unsigned int, struct kcopyd_client **) = kcopyd_client_create;
        int (*copy)(struct kcopyd_client *, struct io_region *, unsigned int, struct io_region *, unsigned int,
                    void (*)(int, unsigned int, void *), void *) = kcopyd_copy;
        void (*destroy)(struct kcopyd_client *) = kcopyd_client_destroy;
        struct block_device *bdev;
        struct io_region region = {(struct block_device *)0, (sector_t)1, (sector_t)2};

        """.write(to: file, atomically: true, encoding: .utf8)
        try Command.succeed([
            "cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-I\(Paths.include.path)",
            file.path,
        ])
    }

    @Test("can be loaded, unloaded and loaded again")
    func unload() throws {
        try workshop.run("unloads.c", [Paths.library.path])
    }

    @Test("refuses to start an engine that does not exist")
    func unknownEngine() throws {
        let command = try Command.run(
            [try workshop.compile("unloads.c"), Paths.library.path], environment: ["KCOPYD_ENGINE": "steam"])
        #expect(command.status == 1)
        #expect(command.output.isEmpty)
    }

    @Test("has a pkg-config file that compilers can use")
    func packageConfiguration() throws {
        var text = try String(contentsOf: Paths.root.appending(path: "kcopyd.pc.in"), encoding: .utf8)
        for (name, value) in ["@PREFIX@": "/opt/here", "@LIBDIR@": "lib", "@VERSION@": "0.1.0"] {
            text = text.replacingOccurrences(of: name, with: value)
        }
        #expect(!text.contains("@"))
        try text.write(to: workshop.folder.appending(path: "kcopyd.pc"), atomically: true, encoding: .utf8)
        let flags = try Command.succeed(
            ["pkg-config", "--cflags", "--libs", "kcopyd"], environment: ["PKG_CONFIG_PATH": workshop.folder.path])
        #expect(
            flags.split(separator: " ").map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }.filter {
                !$0.isEmpty
            }
                == ["-I/opt/here/include", "-L/opt/here/lib", "-lkcopyd"])
    }

    @Test("has a manual page whose example compiles and copies")
    func example() throws {
        let page = try String(contentsOf: Paths.root.appending(path: "Docs/kcopyd.3"), encoding: .utf8)
        let examples = try #require(page.components(separatedBy: ".Sh EXAMPLES\n").dropFirst().first)
        let display = try #require(examples.components(separatedBy: ".Bd -literal\n").dropFirst().first)
        let program = try #require(display.components(separatedBy: "\n.Ed").first)
        let file = workshop.folder.appending(path: "example.c")
        try program.replacingOccurrences(of: "\\e", with: "\\").write(to: file, atomically: true, encoding: .utf8)
        let source = try workshop.image("source", bytes: 3 << 20)
        let copies = try (0..<3).map { try workshop.blank("copy\($0)", bytes: 4 << 20) }
        let compiled = try workshop.compile(file)
        #expect(try Command.succeed([compiled, source] + copies).isEmpty)
        let content = try workshop.bytes(source)
        for copy in copies { #expect(try workshop.bytes(copy).prefix(3 << 20) == content) }

        let failing = try Command.run([compiled, source, "/nowhere"])
        #expect(failing.status == 1)
        #expect(failing.output == "/nowhere: No such file or directory\n")

        try Command.succeed([
            "c++", "-x", "c++", "-std=c++11", "-Wall", "-Werror", "-fsyntax-only", "-I\(Paths.include.path)", file.path,
        ])
    }

    @Test("has a manual page that names every call and every flag of the header")
    func manualPage() throws {
        let page = try String(contentsOf: Paths.root.appending(path: "Docs/kcopyd.3"), encoding: .utf8)
        let header = try String(contentsOf: Paths.include.appending(path: "kcopyd.h"), encoding: .utf8)
        for match in header.matches(of: /(?:int|void|char) \*?(kcopyd_[a-z_]+)\(/) {
            #expect(page.contains(".Fn \(match.1) "), "\(match.1) is missing")
        }
        let macros = header.matches(of: /#define (KCOPYD_[A-Z_]+) (0x|UINT64)/)
        #expect(macros.count == 7)
        for macro in macros {
            #expect(page.contains("Dv \(macro.1)\n") || page.contains("Dv \(macro.1) "), "\(macro.1) is missing")
        }
    }

    @Test(
        "has a manual page that mandoc finds no fault with",
        .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/mandoc")))
    func lint() throws {
        try Command.succeed(["mandoc", "-T", "lint", "-W", "warning", Paths.root.appending(path: "Docs/kcopyd.3").path])
    }
}
