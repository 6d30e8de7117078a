import SystemPackage
import Testing

@Suite("The manual page")
struct ManualTests {
    private static let page = FilePath(#filePath).removingLastComponent().removingLastComponent()
        .removingLastComponent()
        .appending("Docs/ucopyctl.8")
    private static let verbs = [
        "copy", "zero", "jobs", "cancel", "rate", "create", "remove", "suspend", "resume", "reload", "clear", "rename",
        "message", "status", "table", "info", "ls", "targets", "deps", "wait", "events", "store", "version", "call",
        "introspect",
    ]
    /// What the verb store does.
    private static let storeVerbs = ["check", "dump", "repair"]

    /// The long options in a text, found by how they begin.
    private func options(in text: String, after mark: String) -> Set<String> {
        Set(
            text.split(whereSeparator: { " \n=[]".contains($0) }).filter { $0.hasPrefix(mark) }.map { word in
                String(word.dropFirst(mark.count).prefix { $0.isLetter || $0 == "-" })
            }.filter { !$0.isEmpty })
    }

    @Test("options of the program and of the page are the same, and every verb has an entry")
    func options() throws {
        let page = try String(decoding: contents(Self.page.string), as: UTF8.self)
        var helped: Set<String> = []
        for verb in Self.verbs {
            helped.formUnion(options(in: try ctl(verb, "--help").output, after: "--"))
            #expect(page.contains("\n.It Cm \(verb)\n"), "\(verb)")
        }
        for verb in Self.storeVerbs {
            helped.formUnion(options(in: try ctl("store", verb, "--help").output, after: "--"))
            #expect(page.contains("\n.Cm \(verb)\n"), "store \(verb)")
        }
        // In the page, `Fl -name` in a tag or in the synopsis.
        let flags = page.split(separator: "\n").filter { $0.contains("Fl ") || $0.contains(", -") }.joined(
            separator: "\n")
        var described = Set(
            flags.split(whereSeparator: { " \n".contains($0) }).filter { $0.hasPrefix("-") && $0.count > 1 }.map {
                String($0.dropFirst())
            })
        described.remove("generate-completion-script")
        #expect(described == helped)
    }

    @Test("every option is in the synopsis")
    func synopsis() throws {
        let page = try String(decoding: contents(Self.page.string), as: UTF8.self)
        let synopsis = try #require(page.split(separator: ".Sh DESCRIPTION").first)
        for verb in Self.verbs {
            for option in options(in: try ctl(verb, "--help").output, after: "--") {
                #expect(synopsis.contains("Fl -\(option)"), "\(verb) --\(option)")
            }
        }
    }
}
