/// `org.varlink.service`, which every service has.
enum ServiceInterface {
    static let name = "org.varlink.service"

    static let text = """
        # The Varlink Service Interface is provided by every varlink service. It
        # describes the service and the interfaces it implements.
        interface org.varlink.service

        # Get a list of all the interfaces a service provides and information
        # about the implementation.
        method GetInfo() -> (
          vendor: string,
          product: string,
          version: string,
          url: string,
          interfaces: []string
        )

        # Get the description of an interface that is implemented by this service.
        method GetInterfaceDescription(interface: string) -> (description: string)

        # The requested interface was not found.
        error InterfaceNotFound (interface: string)

        # The requested method was not found
        error MethodNotFound (method: string)

        # The interface defines the requested method, but the service does not
        # implement it.
        error MethodNotImplemented (method: string)

        # One of the passed parameters is invalid.
        error InvalidParameter (parameter: string)

        # Client is denied access
        error PermissionDenied ()

        # Method is expected to be called with 'more' set to true, but wasn't
        error ExpectedMore ()

        """

    private struct Info: Encodable {
        var vendor: String
        var product: String
        var version: String
        var url: String
        var interfaces: [String]
    }

    private struct DescriptionRequest: Decodable {
        var interface: String
    }

    private struct DescriptionReply: Encodable {
        var description: String
    }

    static func handlers(info: VarlinkServiceInfo, interfaces: [VarlinkInterface]) -> [String: VarlinkHandler] {
        var texts = [name: text]
        for interface in interfaces { texts[interface.name] = interface.text }
        let names = [name] + interfaces.map(\.name)
        let reply = Info(
            vendor: info.vendor, product: info.product, version: info.version, url: info.url, interfaces: names)
        return [
            "GetInfo": { call throws(VarlinkError) in call.reply(reply) },
            "GetInterfaceDescription": { [texts] call throws(VarlinkError) in
                let wanted = try call.decode(DescriptionRequest.self).interface
                guard let text = texts[wanted] else { throw .interfaceNotFound(wanted) }
                call.reply(DescriptionReply(description: text))
            },
        ]
    }
}
