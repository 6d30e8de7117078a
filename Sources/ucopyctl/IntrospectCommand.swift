import ArgumentParser
import ControlAPI
import Varlink

/// `ucopyctl introspect`.
struct IntrospectCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "introspect", abstract: "Print an interface's description, or the names of the daemon's interfaces.")

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The interface, such as io.ucopyd.Copy.")
    var interface: String?

    private struct Request: Encodable { var interface: String }
    private struct Reply: Decodable { var description: String }

    mutating func run() throws {
        let connection = try self.connection.connect()
        guard let interface else {
            return try StandardStreams.print(ServiceInfo.ask(connection).interfaces.joined(separator: "\n"))
        }
        try StandardStreams.print(Self.describe(interface, connection))
    }

    private static func describe(_ interface: String, _ connection: ControlConnection) throws(Failure) -> String {
        let method = "org.varlink.service.GetInterfaceDescription"
        do throws(VarlinkCallError) {
            let reply: Reply = try connection.varlink.call(method, Request(interface: interface))
            return reply.description
        } catch {
            throw Failure(error, method)
        }
    }
}
