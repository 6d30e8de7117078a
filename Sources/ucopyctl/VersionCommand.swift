import ArgumentParser
import ControlAPI
import Varlink

/// `ucopyctl version`.
struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "version", abstract: "Print this program's version, and the daemon's where it answers.")

    @Flag(help: "Print a JSON object.")
    var json = false

    @OptionGroup var connection: ConnectionOptions

    private struct Versions: Encodable {
        var ucopyctl: String
        /// Missing where no daemon answers.
        var ucopyd: String?
    }

    mutating func run() throws {
        // A daemon that does not answer is a result here, not a failure.
        let info = try? ServiceInfo.ask(try connection.connect())
        let versions = Versions(ucopyctl: Release.version, ucopyd: info?.version)
        if json { return try StandardStreams.print(JSONText.encode(versions)) }
        let daemon = info.map { "\($0.product) \($0.version)" } ?? "ucopyd does not answer"
        try StandardStreams.print("ucopyctl \(Release.version)\n\(daemon)")
    }
}

/// What `org.varlink.service.GetInfo` answers.
struct ServiceInfo: Codable {
    var vendor: String
    var product: String
    var version: String
    var url: String
    var interfaces: [String]

    static func ask(_ connection: ControlConnection) throws(Failure) -> ServiceInfo {
        do throws(VarlinkCallError) {
            return try connection.varlink.call("org.varlink.service.GetInfo", CopyInterface.Empty())
        } catch {
            throw Failure(error, "org.varlink.service.GetInfo")
        }
    }
}
