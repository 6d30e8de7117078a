import ArgumentParser
import ControlAPI
import Varlink

/// `ucopyctl wait`.
struct WaitCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "wait", abstract: "Wait for an event of a mapped device.",
        discussion: "Without --until, until the device's event number is another one than the one given.")

    @Option(
        help: ArgumentHelp("Wait for such an event instead, as events names them; may be repeated.", valueName: "kind"),
        transform: { try eventKind($0) })
    var until: [TargetInterface.EventKind] = []

    @Flag(help: "Accepted for the sake of scripts.")
    var noflush = false

    @Flag(help: "Print the event number, and the event, as a JSON object.")
    var json = false

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The device, by name or uuid.")
    var name: String

    @Argument(
        help: ArgumentHelp("The event number that is known already (default: 0).", valueName: "event_nr"),
        transform: { try eventCount($0) })
    var eventNumber: Int?

    mutating func validate() throws {
        if !until.isEmpty, eventNumber != nil {
            throw ValidationError("--until and an event number exclude each other")
        }
    }

    mutating func run() throws {
        let reply = try DeviceCalls(connection, "wait").call(
            TargetInterface.Wait.self,
            TargetInterface.Wait.Parameters(
                device: name, eventNumber: eventNumber, until: until.isEmpty ? nil : until))
        if json { try StandardStreams.print(JSONText.encode(reply)) }
    }
}

/// `ucopyctl events`.
struct EventsCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "events", abstract: "Print what happens to mapped devices, a line each, until interrupted.",
        discussion: "The events of one device end when it is removed.")

    @Flag(help: "Print a JSON object on each line.")
    var json = false

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The device, by name or uuid; all where none is named.")
    var name: String?

    mutating func run() throws {
        let varlink = try connection.connect().varlink
        var unprinted: Failure?
        let json = json
        do throws(VarlinkCallError) {
            try varlink.callMore(
                TargetInterface.Events.method, TargetInterface.Events.Parameters(device: name)
            ) { (reply: TargetInterface.Events.Reply, _) in
                guard let event = reply.event else { return true }
                unprinted = Self.print(event, json)
                return unprinted == nil
            }
        } catch {
            throw unprinted ?? Failure(ControlError(error), "events")
        }
        if let unprinted { throw unprinted }
    }

    /// Returns why it could not.
    private static func print(_ event: TargetInterface.Event, _ json: Bool) -> Failure? {
        do throws(Failure) {
            try StandardStreams.print(json ? JSONText.encode(event) : DeviceText.event(event))
        } catch {
            return error
        }
        return nil
    }
}

/// Reads a kind of event.
func eventKind(_ text: String) throws -> TargetInterface.EventKind {
    guard let kind = TargetInterface.EventKind(rawValue: text) else {
        let all = TargetInterface.EventKind.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("an event is one of \(all)")
    }
    return kind
}

/// Reads an event number.
func eventCount(_ text: String) throws -> Int {
    guard let number = Int(text), number >= 0 else { throw ValidationError("an event number is a number from 0 on") }
    return number
}
