/// An interface as the Varlink interface definition language describes it.
public struct InterfaceDescription: Sendable, Equatable {
    /// A type of a field.
    public indirect enum FieldType: Sendable, Equatable {
        case bool, int, float, string
        /// Any JSON object.
        case object
        /// Any JSON value.
        case any
        /// A type that the interface declares.
        case named(String)
        /// One of these strings.
        case enumeration([String])
        /// An object with these members.
        case structure([Field])
        case array(FieldType)
        /// An object whose members, of any name, are of this type.
        case map(FieldType)
        /// The type, null, or absent.
        case optional(FieldType)
    }

    /// A named member of a structure.
    public struct Field: Sendable, Equatable {
        public let name: String
        public let type: FieldType
        /// The comment above it.
        public let documentation: String
    }

    /// A declared type: a structure or an enumeration.
    public struct TypeDeclaration: Sendable, Equatable {
        public let name: String
        public let type: FieldType
        public let documentation: String
    }

    /// A declared method.
    public struct Method: Sendable, Equatable {
        public let name: String
        public let parameters: [Field]
        public let replies: [Field]
        public let documentation: String
    }

    /// A declared error.
    public struct ErrorDeclaration: Sendable, Equatable {
        public let name: String
        public let parameters: [Field]
        public let documentation: String
    }

    /// The qualified name.
    public let name: String
    /// The comment above `interface`.
    public let documentation: String
    /// What is declared, each kind in the order of the text.
    public let types: [TypeDeclaration]
    public let methods: [Method]
    public let errors: [ErrorDeclaration]

    /// Parses a description, which must be valid as a whole: names well formed and declared once, and every type that is used declared.
    ///
    /// - Throws: the first fault, with its line and column.
    public init(parsing text: String) throws(InterfaceDescriptionError) {
        var parser = InterfaceParser(text)
        self = try parser.description()
    }

    init(
        name: String, documentation: String, types: [TypeDeclaration], methods: [Method], errors: [ErrorDeclaration]
    ) {
        self.name = name
        self.documentation = documentation
        self.types = types
        self.methods = methods
        self.errors = errors
    }
}

/// A fault in an interface description.
public struct InterfaceDescriptionError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The line, from 1.
    public let line: Int
    /// The column in characters of UTF-8, from 1.
    public let column: Int
    /// What is wrong.
    public let reason: String

    public var description: String { "interface description: line \(line) column \(column): \(reason)" }
}
