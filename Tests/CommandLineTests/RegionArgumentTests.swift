import Testing

@testable import ucopyctl

@Suite("Regions on the command line")
struct RegionArgumentTests {
    private func parse(_ text: String, existing: Set<String> = []) throws -> RegionArgument {
        try RegionArgument(text, exists: existing.contains)
    }

    @Test(
        "a position is what follows the last @ and has the form of one",
        arguments: [
            ("/dev/sda", RegionArgument(path: "/dev/sda")),
            ("/dev/sda@0", RegionArgument(path: "/dev/sda", sector: 0)),
            ("/dev/sda@2048", RegionArgument(path: "/dev/sda", sector: 2048)),
            ("/dev/sda@2048+8", RegionArgument(path: "/dev/sda", sector: 2048, count: 8)),
            ("/dev/sda@2048+0", RegionArgument(path: "/dev/sda", sector: 2048, count: 0)),
            ("disk@home", RegionArgument(path: "disk@home")),
            ("disk@home@7", RegionArgument(path: "disk@home", sector: 7)),
            ("disk@3@7+1", RegionArgument(path: "disk@3", sector: 7, count: 1)),
            ("disk@7@home", RegionArgument(path: "disk@7@home")),
            ("disk@7/part", RegionArgument(path: "disk@7/part")),
            ("disk@", RegionArgument(path: "disk@")),
            ("disk@+8", RegionArgument(path: "disk@+8")),
            ("disk@8+", RegionArgument(path: "disk@8+")),
            ("disk@8+8+8", RegionArgument(path: "disk@8+8+8")),
            ("disk@-8", RegionArgument(path: "disk@-8")),
            ("disk@0x10", RegionArgument(path: "disk@0x10")),
            ("disk@ 8", RegionArgument(path: "disk@ 8")),
            ("disk@٣", RegionArgument(path: "disk@٣")),
            ("@8", RegionArgument(path: "@8")),
            ("a b@8", RegionArgument(path: "a b", sector: 8)),
        ])
    func position(_ text: String, _ region: RegionArgument) throws {
        #expect(try parse(text) == region)
    }

    @Test("a file that has the whole name is the device, and can be given a position all the same")
    func existingName() throws {
        #expect(try parse("img@100", existing: ["img@100"]) == RegionArgument(path: "img@100"))
        #expect(try parse("img@100@5", existing: ["img@100"]) == RegionArgument(path: "img@100", sector: 5))
        #expect(try parse("img@100", existing: ["img"]) == RegionArgument(path: "img", sector: 100))
    }

    @Test(
        "numbers that no device can hold are usage errors",
        arguments: [
            "d@18446744073709551616", "d@99999999999999999999999", "d@18014398509481985", "d@0+18014398509481985",
            "d@18014398509481984+1", "d@1+18446744073709551615", "",
        ])
    func overflow(_ text: String) {
        let failure = #expect(throws: Failure.self) { try parse(text) }
        #expect(failure?.status == .usage)
    }

    @Test("the largest numbers are accepted")
    func largest() throws {
        #expect(try parse("d@18014398509481983+1").sector == 18_014_398_509_481_983)
    }

    @Test("a region is written as it is read", arguments: ["/dev/sda", "/dev/sda@5", "/dev/sda@5+6", "disk@home@7"])
    func description(_ text: String) throws {
        #expect(try parse(text).description == text)
    }

    @Test(
        "words for a shell are quoted where they have to be",
        arguments: [
            ("/dev/loop0@8+16", "/dev/loop0@8+16"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("", "''"),
            ("$x", "'$x'"),
        ])
    func quoting(_ text: String, _ word: String) {
        #expect(shellWord(text) == word)
    }
}
