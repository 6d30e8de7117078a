import ArgumentParser
import ControlAPI
import FoundationEssentials
import Varlink

/// `ucopyctl call`.
struct CallCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "call", abstract: "Call a Varlink method and print what it answers, one JSON object per line.")

    @Flag(help: "Ask for several replies, and print each.")
    var more = false

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The method with its interface, such as io.ucopyd.Copy.List.")
    var method: String

    @Argument(help: ArgumentHelp("The parameters, a JSON object.", valueName: "json"))
    var parameters: String = "{}"

    mutating func validate() throws {
        guard method.contains(".") else { throw ValidationError("'\(method)' is no method: it has no interface") }
        guard JSONText.isObject(parameters) else { throw ValidationError("the parameters are not a JSON object") }
    }

    mutating func run() throws {
        let varlink = try connection.connect().varlink
        let parameters = Data(self.parameters.utf8)
        var unprinted: Failure?
        do throws(VarlinkCallError) {
            if more {
                try varlink.callMoreRaw(method, json: parameters) { reply, _ in
                    unprinted = Self.print(reply)
                    return unprinted == nil
                }
            } else {
                unprinted = Self.print(try varlink.callRaw(method, json: parameters))
            }
        } catch {
            throw unprinted ?? Failure(error, method)
        }
        if let unprinted { throw unprinted }
    }

    /// Prints a reply on one line; line breaks can only be between its tokens. Returns why it could
    /// not.
    private static func print(_ reply: Data) -> Failure? {
        let line = String(decoding: reply.map { $0 == 0x0a || $0 == 0x0d ? 0x20 : $0 }, as: UTF8.self)
        do throws(Failure) { try StandardStreams.print(line) } catch { return error }
        return nil
    }
}

extension Failure {
    /// Why a call by a method's name failed.
    init(_ error: VarlinkCallError, _ method: String) {
        switch error {
        case .reply(let error): self.init(method, "call", "\(error)")
        case .connection(let error): self.init(error.object, method, Self.reason(error))
        }
    }
}
