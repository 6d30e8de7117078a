public import FoundationEssentials

/// An error that a service replies with: a qualified name and a JSON object of parameters.
public struct VarlinkError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The qualified name, for example `org.varlink.service.MethodNotFound`.
    public let name: String
    /// The parameters: a JSON object.
    public let parameters: Data

    /// An error without parameters.
    public init(_ name: String) {
        self.init(name, json: Envelope.emptyObject)
    }

    /// An error with parameters.
    ///
    /// Parameters that cannot be encoded as a JSON object are replaced by an object that says so: a failure to describe an
    /// error must not hide that error.
    public init(_ name: String, _ parameters: some Encodable) {
        do throws(EnvelopeError) {
            self.init(name, json: try Envelope.encodeObject(parameters))
        } catch {
            self.init(name, json: Envelope.object(["unencodable": "\(error)"]))
        }
    }

    /// An error whose parameters are a JSON object already.
    public init(_ name: String, json: Data) {
        self.name = name
        self.parameters = json
    }

    /// The parameters as a type, or nil when they are not of that form.
    public func decodeParameters<T: Decodable>(as type: T.Type = T.self) -> T? {
        // Which part does not fit is of no use to a reader of somebody else's error.
        try? JSONDecoder().decode(type, from: parameters)
    }

    public var description: String {
        parameters == Envelope.emptyObject ? name : "\(name) \(String(decoding: parameters, as: UTF8.self))"
    }
}

extension VarlinkError {
    /// `org.varlink.service.InterfaceNotFound`.
    public static func interfaceNotFound(_ interface: String) -> VarlinkError {
        standard("InterfaceNotFound", ["interface": interface])
    }

    /// `org.varlink.service.MethodNotFound`: the interface has no such method.
    public static func methodNotFound(_ method: String) -> VarlinkError {
        standard("MethodNotFound", ["method": method])
    }

    /// `org.varlink.service.MethodNotImplemented`: the interface declares it, the service lacks it.
    public static func methodNotImplemented(_ method: String) -> VarlinkError {
        standard("MethodNotImplemented", ["method": method])
    }

    /// `org.varlink.service.InvalidParameter`, naming the parameter.
    public static func invalidParameter(_ parameter: String) -> VarlinkError {
        standard("InvalidParameter", ["parameter": parameter])
    }

    /// `org.varlink.service.PermissionDenied`.
    public static var permissionDenied: VarlinkError { standard("PermissionDenied", [:]) }

    /// `org.varlink.service.ExpectedMore`: the method answers only calls that set `more`.
    public static var expectedMore: VarlinkError { standard("ExpectedMore", [:]) }

    /// `INTERFACE.InternalError`: the handler of `method` broke its contract.
    static func internalError(method: String, reason: String) -> VarlinkError {
        let interface = Envelope.split(method: method)?.interface ?? ServiceInterface.name
        return VarlinkError("\(interface).InternalError", json: Envelope.object(["reason": reason]))
    }

    private static func standard(_ name: String, _ parameters: [String: String]) -> VarlinkError {
        VarlinkError("\(ServiceInterface.name).\(name)", json: Envelope.object(parameters))
    }
}
