import BlockIO
import SystemPackage
import Testing

@testable import Targets

@Suite("A table")
struct TargetTableTests {
    @Test("is read line by line, without blank lines and comments, which are counted")
    func lines() throws {
        let table = try TargetTable(parsing: "\n# two lines\n0 8 linear /dev/a 16\r\n\t 8\t24   zero \n")
        #expect(
            table.lines == [
                TableLine(range: SectorRange(start: 0, count: 8), type: "linear", words: ["/dev/a", "16"], number: 3),
                TableLine(range: SectorRange(start: 8, count: 24), type: "zero", words: [], number: 4),
            ])
        #expect(table.sectors == 32)
    }

    @Test("keeps white space and backslashes behind a backslash in a word, and prints them so that they are read again")
    func quotes() throws {
        let table = try TargetTable(parsing: #"0 8 linear /a\ b\\c 1#2\"#)
        #expect(table.lines[0].words == [#"/a b\c"#, #"1#2\"#])
        #expect(table.description == #"0 8 linear /a\ b\\c 1#2\\"# + "\n")
        #expect(try TargetTable(parsing: table.description).lines == table.lines)
    }

    @Test(
        "that is wrong is refused with the line, the word and the reason",
        arguments: [
            ("", "table: parse: it has no lines"),
            ("# nothing\n\n", "table: parse: it has no lines"),
            ("0 8", "table line 1, word 3: parse: the type of the target is missing"),
            ("0", "table line 1, word 2: parse: the number of sectors is missing"),
            ("x 8 zero", #"table line 1, word 1 "x": parse: the first sector is to be a decimal number"#),
            ("0 -8 zero", #"table line 1, word 2 "-8": parse: the number of sectors is to be a decimal number"#),
            ("0 0x8 zero", #"table line 1, word 2 "0x8": parse: the number of sectors is to be a decimal number"#),
            ("0 0 zero", #"table line 1, word 2 "0": parse: a target has at least 1 sector"#),
            ("8 8 zero", #"table line 1, word 1 "8": parse: a table begins at sector 0"#),
            (
                "0 8 zero\n\n9 8 zero",
                #"table line 3, word 1 "9": parse: the line before ends before sector 8: there is a gap"#
            ),
            (
                "0 8 zero\n7 8 zero",
                #"table line 2, word 1 "7": parse: the line before ends before sector 8: the two overlap"#
            ),
            (
                "0 8 abcdefghijklmnop",
                "table line 1, word 3 \"abcdefghijklmnop\": parse: the name of a type has at most 15 bytes"
            ),
            (
                "0 18446744073709551616 zero",
                "table line 1, word 2 \"18446744073709551616\": parse: the number of sectors is to be a number from 0 to 18014398509481983"
            ),
            (
                "0 18014398509481983 zero\n18014398509481983 1 zero",
                "table line 2, word 2 \"1\": parse: from sector 18014398509481983 on there is room for 0 sectors at most"
            ),
            ("0 8 zero a\0b", "table line 1, word 4 \"a\0b\": parse: it holds a zero byte"),
        ])
    func refusals(text: String, reason: String) {
        let error = #expect(throws: TargetError.self) { try TargetTable(parsing: text) }
        #expect(error?.description == reason)
        #expect(error?.errno == .invalidArgument)
    }

    @Test("of the most sectors that there can be is taken")
    func largest() throws {
        #expect(try TargetTable(parsing: "0 18014398509481983 zero").sectors == 18_014_398_509_481_983)
    }

    @Test("takes so many lines, and lines so long, and no more")
    func limits() throws {
        let lines = (0..<TargetTable.mostLines).map { "\($0) 1 zero\n" }.joined()
        #expect(try TargetTable(parsing: lines).lines.count == TargetTable.mostLines)
        let more = #expect(throws: TargetError.self) {
            try TargetTable(parsing: lines + "\(TargetTable.mostLines) 1 zero")
        }
        #expect(more?.description == "table line 4097: parse: a table has at most 4096 lines")
        let word = String(repeating: "a", count: TargetTable.longestLine - "0 1 zero ".utf8.count)
        #expect(try TargetTable(parsing: "0 1 zero \(word)").lines[0].words == [word])
        let longer = #expect(throws: TargetError.self) { try TargetTable(parsing: "0 1 zero \(word)a") }
        #expect(longer?.description == "table line 1: parse: its 16385 bytes are more than 16384")
    }
}

@Suite("The words of a table line")
struct TableWordsTests {
    private func words(_ words: String...) -> TableWords {
        TableWords(TableLine(range: SectorRange(start: 0, count: 8), type: "demo", words: words, number: 2))
    }

    private func refusal(_ body: () throws(TargetError) -> Void) -> String? {
        #expect(throws: TargetError.self) { try body() }?.description
    }

    @Test("are read in their order, numbers as numbers, until none is left")
    func reads() throws {
        var words = words("/dev/a", "16", "x")
        #expect(try words.next("the device") == "/dev/a")
        #expect(try words.number("the offset") == 16)
        #expect(words.remaining == 1 && words.peek == "x")
        #expect(try words.next("the rest") == "x")
        try words.end()
    }

    @Test("that are missing, wrong or left over are named by their number in the line")
    func refusals() throws {
        var words = words("a", "12", "z")
        #expect(
            refusal { () throws(TargetError) in _ = try words.number("the size") }
                == #"table line 2, word 4 "a": parse: the size is to be a decimal number"#)
        #expect(
            refusal { () throws(TargetError) in _ = try words.number("the size", in: 0...8) }
                == #"table line 2, word 5 "12": parse: the size is to be a number from 0 to 8"#)
        #expect(words.wrong("it is odd").description == #"table line 2, word 5 "12": parse: it is odd"#)
        #expect(
            refusal { () throws(TargetError) in try words.end() }
                == #"table line 2, word 6 "z": parse: demo takes no more than 2 words behind its name"#)
        _ = try words.next("the letter")
        #expect(
            refusal { () throws(TargetError) in _ = try words.next("the end") }
                == "table line 2, word 7: parse: the end is missing")
    }
}

@Suite("The registry of targets")
struct TargetRegistryTests {
    private let registry = TargetRegistry([LinearTargetType(), ZeroTargetType(), ErrorTargetType()])

    @Test("lists types and versions as dmsetup targets does")
    func listing() {
        #expect(registry.listing == "linear           v1.4.0\nzero             v1.2.0\nerror            v1.6.0\n")
    }

    @Test("says of a type that it does not know which there are")
    func unknown() throws {
        let error = #expect(throws: TargetError.self) {
            try registry.parse(try TargetTable(parsing: "0 8 zero\n8 8 striped 2 8"))
        }
        #expect(
            error?.description
                == #"table line 2, word 3 "striped": parse: there is no such target; there are error, linear, zero"#)
        #expect(error?.errno == .invalidArgument)
    }

    @Test(
        "refuses lines that their types refuse",
        arguments: [
            ("0 8 linear", "table line 1, word 4: parse: the device is missing"),
            ("0 8 linear /dev/a", "table line 1, word 5: parse: the first sector on the device is missing"),
            (
                "0 8 linear /dev/a b",
                #"table line 1, word 5 "b": parse: the first sector on the device is to be a decimal number"#
            ),
            (
                "0 8 linear /dev/a 0 x",
                #"table line 1, word 6 "x": parse: linear takes no more than 2 words behind its name"#
            ),
            ("0 8 zero x", #"table line 1, word 4 "x": parse: zero takes no words behind its name"#),
            ("0 8 error x", #"table line 1, word 4 "x": parse: error takes no words behind its name"#),
        ])
    func refusals(line: String, reason: String) throws {
        let error = #expect(throws: TargetError.self) { try registry.parse(try TargetTable(parsing: line)) }
        #expect(error?.description == reason)
        #expect(error?.errno == .invalidArgument)
    }

    @Test("plans the device of a linear line")
    func plans() throws {
        let plans = try registry.parse(try TargetTable(parsing: "0 8 linear 7:0 16"))
        #expect(plans.map(\.devices) == [[PlannedDevice("7:0", isWritten: true)]])
    }
}
