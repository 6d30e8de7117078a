/// Parses the interface definition language by recursive descent, the depth of nesting being bounded.
///
///     description  "interface" NAME (declaration)*
///     declaration  "type" NAME (struct | enum)  |  "method" NAME struct "->" struct  |  "error" NAME struct
///     struct       "(" [ FIELD ":" type ("," FIELD ":" type)* ] ")"
///     enum         "(" FIELD ("," FIELD)* ")"
///     type         ["?"] ( "[]" type | "[string]" type | "bool" | "int" | ... | NAME | struct | enum )
struct InterfaceParser {
    typealias FieldType = InterfaceDescription.FieldType
    typealias Field = InterfaceDescription.Field

    private static let depthLimit = 64

    private var lexer: InterfaceLexer
    private var declared: Set<String> = []
    /// Types used, with the place where, to be looked up when all are known.
    private var used: [(name: String, token: InterfaceLexer.Token)] = []

    init(_ text: String) {
        lexer = InterfaceLexer(text)
    }

    mutating func description() throws(InterfaceDescriptionError) -> InterfaceDescription {
        let keyword = try expectWord("interface")
        let nameToken = try lexer.next(qualified: true)
        guard InterfaceLexer.isInterfaceName(nameToken.text) else {
            throw nameToken.error("\(nameToken.shown) is not an interface name")
        }
        var types: [InterfaceDescription.TypeDeclaration] = []
        var methods: [InterfaceDescription.Method] = []
        var errors: [InterfaceDescription.ErrorDeclaration] = []
        while true {
            let token = try lexer.next()
            let comment = token.documentation
            switch token.text {
            case "type":
                types.append(.init(name: try declaredName(), type: try typeBody(), documentation: comment))
            case "method":
                let name = try declaredName()
                let parameters = try structure(depth: 0)
                try expect("->")
                methods.append(
                    .init(name: name, parameters: parameters, replies: try structure(depth: 0), documentation: comment))
            case "error":
                errors.append(
                    .init(name: try declaredName(), parameters: try structure(depth: 0), documentation: comment))
            case "":
                try checkUses(types.map(\.name))
                return InterfaceDescription(
                    name: nameToken.text, documentation: keyword.documentation, types: types, methods: methods,
                    errors: errors)
            default:
                throw token.error("expected type, method or error, found \(token.shown)")
            }
        }
    }

    private func checkUses(_ types: [String]) throws(InterfaceDescriptionError) {
        let known = Set(types)
        for (name, token) in used where !known.contains(name) { throw token.error("type \(name) is not declared") }
    }

    private mutating func declaredName() throws(InterfaceDescriptionError) -> String {
        let token = try lexer.next()
        guard InterfaceLexer.isMemberName(token.text) else {
            throw token.error("expected a name that begins with a capital, found \(token.shown)")
        }
        guard declared.insert(token.text).inserted else { throw token.error("\(token.text) is declared twice") }
        return token.text
    }

    @discardableResult
    private mutating func expectWord(_ word: String) throws(InterfaceDescriptionError) -> InterfaceLexer.Token {
        let token = try lexer.next()
        guard token.text == word else { throw token.error("expected \(word), found \(token.shown)") }
        return token
    }

    private mutating func expect(_ symbol: String) throws(InterfaceDescriptionError) {
        try expectWord(symbol)
    }

    // MARK: Types

    private mutating func typeBody() throws(InterfaceDescriptionError) -> FieldType {
        try structureOrEnumeration(depth: 0)
    }

    private mutating func type(depth: Int) throws(InterfaceDescriptionError) -> FieldType {
        let token = try lexer.peek()
        guard depth < Self.depthLimit else { throw token.error("nested deeper than \(Self.depthLimit)") }
        if token.text == "(" { return try structureOrEnumeration(depth: depth + 1) }
        _ = try lexer.next()
        switch token.text {
        case "?":
            let inner = try type(depth: depth + 1)
            if case .optional = inner { throw token.error("\"??\" is not a type") }
            return .optional(inner)
        case "[":
            let isMap = try lexer.peek().text == "string"
            if isMap { try expect("string") }
            try expect("]")
            let element = try type(depth: depth + 1)
            return isMap ? .map(element) : .array(element)
        case "bool": return .bool
        case "int": return .int
        case "float": return .float
        case "string": return .string
        case "object": return .object
        case "any": return .any
        default:
            guard InterfaceLexer.isMemberName(token.text) else {
                throw token.error("expected a type, found \(token.shown)")
            }
            used.append((token.text, token))
            return .named(token.text)
        }
    }

    private mutating func structure(depth: Int) throws(InterfaceDescriptionError) -> [Field] {
        let token = try lexer.peek()
        guard case .structure(let fields) = try structureOrEnumeration(depth: depth) else {
            throw token.error("expected fields with types, found an enumeration")
        }
        return fields
    }

    /// What stands in parentheses: the first member's colon, or its lack, tells which it is.
    private mutating func structureOrEnumeration(depth: Int) throws(InterfaceDescriptionError) -> FieldType {
        try expect("(")
        if try lexer.peek().text == ")" {
            try expect(")")
            return .structure([])
        }
        var fields: [Field] = []
        var names: [String] = []
        while true {
            let token = try lexer.next()
            guard InterfaceLexer.isFieldName(token.text) else {
                throw token.error("expected a field name, found \(token.shown)")
            }
            guard !names.contains(token.text) else { throw token.error("field \(token.text) occurs twice") }
            let isField = try lexer.peek().text == ":"
            if !names.isEmpty, isField != !fields.isEmpty {
                throw token.error("\(token.text): a type is given for some of the fields only")
            }
            names.append(token.text)
            if isField {
                try expect(":")
                let type = try type(depth: depth)
                fields.append(Field(name: token.text, type: type, documentation: token.documentation))
            }
            let separator = try lexer.next()
            if separator.text == ")" { return fields.isEmpty ? .enumeration(names) : .structure(fields) }
            guard separator.text == "," else {
                throw separator.error("expected \",\" or \")\", found \(separator.shown)")
            }
        }
    }
}
