import Testing

@testable import Varlink

@Suite("Interface descriptions")
struct InterfaceDescriptionTests {
    @Test("Every construct of the language is understood")
    func everything() throws {
        let description = try InterfaceDescription(
            parsing: """
                # Top.
                # Second line.
                interface org.example.all-2.x

                # not attached

                type State (
                  # Begin
                  start, stop_now, end2)
                type Pair (a: int, b: ?float)
                type Nothing ()

                # Does it.
                method Do(
                  pairs: []Pair,
                  lookup: [string]State,
                  maybe: ?[][string]?string,
                  inner: (x: bool, y: (z: object)),
                  kind: (one, two),
                  free: any
                ) -> (done: Nothing) # trailing
                method Minimal()->()
                error Broken (why: string)
                error Gone()
                """)
        #expect(description.name == "org.example.all-2.x")
        #expect(description.documentation == "Top.\nSecond line.")
        #expect(description.types.map(\.name) == ["State", "Pair", "Nothing"])
        #expect(description.types[0].documentation == "")
        #expect(description.types[0].type == .enumeration(["start", "stop_now", "end2"]))
        #expect(description.types[2].type == .structure([]))
        #expect(description.methods.map(\.name) == ["Do", "Minimal"])
        #expect(description.methods[0].documentation == "Does it.")
        #expect(
            description.methods[0].parameters.map(\.type) == [
                .array(.named("Pair")), .map(.named("State")), .optional(.array(.map(.optional(.string)))),
                .structure([
                    .init(name: "x", type: .bool, documentation: ""),
                    .init(
                        name: "y", type: .structure([.init(name: "z", type: .object, documentation: "")]),
                        documentation: ""),
                ]),
                .enumeration(["one", "two"]), .any,
            ])
        #expect(description.errors.map(\.name) == ["Broken", "Gone"])
    }

    @Test("The description of org.varlink.service is valid")
    func builtIn() throws {
        let description = try InterfaceDescription(parsing: ServiceInterface.text)
        #expect(description.methods.map(\.name) == ["GetInfo", "GetInterfaceDescription"])
        #expect(description.errors.count == 6)
    }

    @Test(
        "A fault is reported with its line and column",
        arguments: [
            ("", 1, 1), ("interface", 1, 10), ("interface a", 1, 11), ("interface a.b-", 1, 11),
            ("interface 1a.b", 1, 11),
            ("interface a..b", 1, 11), ("interface a.b\nmethod x() -> ()", 2, 8),
            ("interface a.b\nmethod X() - ()", 2, 12),
            ("interface a.b\nmethod X() -> (", 2, 16), ("interface a.b\nmethod X(a) -> ()", 2, 9),
            ("interface a.b\n\n  method X(a: ) -> ()", 3, 15), ("interface a.b\ntype X (a: Y)", 2, 12),
            ("interface a.b\ntype X (a: int, b)", 2, 17), ("interface a.b\ntype X (a, b: int)", 2, 12),
            ("interface a.b\ntype X (a: int, a: int)", 2, 17), ("interface a.b\ntype X (a: ??int)", 2, 12),
            ("interface a.b\ntype X (a: [int]string)", 2, 13), ("interface a.b\ntype X (a_: int)", 2, 9),
            ("interface a.b\ntype X (a__b: int)", 2, 9), ("interface a.b\ntype X ()\nerror X ()", 3, 7),
            ("interface a.b\nfoo", 2, 1), ("interface a.b\ntype X (a: int,)", 2, 16), ("interface a.b\n$", 2, 1),
        ])
    func faults(text: String, line: Int, column: Int) throws {
        let error = try #require(throws: InterfaceDescriptionError.self) { try InterfaceDescription(parsing: text) }
        #expect(error.line == line, "\(error)")
        #expect(error.column == column, "\(error)")
    }

    @Test("Nesting without end is a fault, not a crash", arguments: ["(a: ", "[]", "[string]", "?"])
    func deep(piece: String) {
        let text = "interface a.b\ntype X (a: " + String(repeating: piece, count: 100_000)
        #expect(throws: InterfaceDescriptionError.self) { try InterfaceDescription(parsing: text) }
    }

    @Test("A handler without a declaration is refused")
    func undeclaredHandler() throws {
        let error = try #require(throws: InterfaceDescriptionError.self) {
            try VarlinkInterface(testDescription, methods: ["Unknown": { _ throws(VarlinkError) in }])
        }
        #expect(error.reason.contains("Unknown"))
    }
}
