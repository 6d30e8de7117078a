/// An interface that a service offers: its description and what its methods do.
public struct VarlinkInterface: Sendable {
    /// The interface's name, as its description gives it.
    public let name: String
    /// The description as text, the way `GetInterfaceDescription` gives it out.
    public let text: String
    /// The description taken apart.
    public let description: InterfaceDescription
    /// What the methods do, by their names without the interface.
    public let methods: [String: VarlinkHandler]

    /// Makes an interface.
    ///
    /// A method that is declared and not in `methods` is answered with `org.varlink.service.MethodNotImplemented`.
    ///
    /// - Parameters:
    ///   - text: the description in the Varlink interface definition language.
    ///   - methods: handlers by method name, without the interface.
    /// - Throws: when the description is not valid, or lacks a method that has a handler.
    public init(_ text: String, methods: [String: VarlinkHandler]) throws(InterfaceDescriptionError) {
        description = try InterfaceDescription(parsing: text)
        let declared = description.methods.map(\.name)
        if let stranger = methods.keys.sorted().first(where: { !declared.contains($0) }) {
            throw InterfaceDescriptionError(
                line: 1, column: 1,
                reason: "method \(stranger) has a handler and is not declared in \(description.name)")
        }
        self.text = text
        self.methods = methods
        name = description.name
    }

    /// For an interface whose text is known to be right.
    init(name: String, text: String, description: InterfaceDescription, methods: [String: VarlinkHandler]) {
        self.name = name
        self.text = text
        self.description = description
        self.methods = methods
    }
}
