import ControlAPI
import FoundationEssentials
import Testing
import Varlink

@testable import Daemon

extension DaemonTests {
    /// Whether the text of `io.ucopyd.Target` and the types that stand for it say the same.
    @Suite struct TargetInterfaceTests {
        private typealias API = TargetInterface
        private static let device = API.Device(
            name: "d", uuid: "u", suspended: true, readOnly: true, deferredRemove: true, liveTable: true,
            inactiveTable: true, openCount: 1, eventNumber: 2, targets: 3, sectors: 4, socket: "s")
        private static let event = API.Event(
            number: 1, time: 2.5, device: "d", uuid: "u", kind: .fill, text: "t", eventNumber: 3,
            details: ["n": .number(.max), "t": .text("x"), "f": .flag(true)])
        private static let statusLine = API.StatusLine(start: 1, length: 2, target: "t", text: "x", details: [:])
        private static let tableLine = API.TableLine(start: 1, length: 2, target: "t", text: "x")

        /// Accepts any JSON.
        private struct Anything: Decodable {
            init(from decoder: any Decoder) {}
        }

        /// The members of a value's JSON.
        private func members(_ value: some Encodable) throws -> Set<String> {
            Set(try JSONDecoder().decode([String: Anything].self, from: try JSONEncoder().encode(value)).keys)
        }

        private func description() throws -> InterfaceDescription {
            try InterfaceDescription(parsing: API.description)
        }

        @Test func typesHaveTheFieldsThatTheDescriptionDeclares() throws {
            let structures: [String: Set<String>] = [
                "Device": try members(Self.device), "Event": try members(Self.event),
                "TableLine": try members(Self.tableLine), "StatusLine": try members(Self.statusLine),
                "DeviceTable": try members(API.DeviceTable(name: "d", uuid: "u", lines: [])),
                "DeviceStatus": try members(API.DeviceStatus(name: "d", uuid: "u", lines: [])),
                "DeviceDependencies": try members(API.DeviceDependencies(name: "d", uuid: "u", devices: [])),
                "TargetType": try members(API.TargetType(name: "n", version: [1])),
            ]
            let enumerations = [
                "Overflow": API.Overflow.allCases.map(\.rawValue), "EventKind": API.EventKind.allCases.map(\.rawValue),
            ]
            let interface = try description()
            #expect(interface.name == API.name)
            for type in interface.types {
                switch type.type {
                case .structure(let fields): #expect(Set(fields.map(\.name)) == structures[type.name], "\(type.name)")
                case .enumeration(let cases): #expect(cases == enumerations[type.name], "\(type.name)")
                default: Issue.record("\(type.name) is neither structure nor enumeration")
                }
            }
            #expect(interface.types.count == structures.count + enumerations.count)
        }

        @Test func methodsHaveTheParametersAndRepliesThatTheDescriptionDeclares() throws {
            let nothing: Set<String> = []
            let named = try members(API.DeviceParameters(device: "d"))
            let flush = try members(API.SuspendParameters(device: "d", noFlush: true, noLockFS: true))
            let query = try members(API.QueryParameters(device: "d", inactive: true))
            let reply = try members(API.DeviceReply(device: Self.device))
            let methods: [String: (Set<String>, Set<String>)] = [
                API.Create.method: (
                    try members(
                        API.Create.Parameters(
                            name: "n", uuid: "u", table: "t", readOnly: true, pages: 1, overflow: .hold)), reply
                ),
                API.Remove.method: (
                    try members(API.Remove.Parameters(device: "d", force: true, deferred: true)),
                    try members(API.Remove.Reply(removed: true))
                ),
                API.Suspend.method: (flush, nothing), API.Resume.method: (flush, nothing),
                API.Load.method: (
                    try members(
                        API.Load.Parameters(device: "d", table: "t", readOnly: true, pages: 1, overflow: .detach)),
                    nothing
                ),
                API.Clear.method: (named, nothing),
                API.Rename.method: (try members(API.Rename.Parameters(device: "d", name: "n", uuid: "u")), reply),
                API.Message.method: (
                    try members(API.Message.Parameters(device: "d", sector: 0, text: "t")),
                    try members(API.Message.Reply(text: "t"))
                ),
                API.Status.method: (query, ["devices"]), API.Table.method: (query, ["devices"]),
                API.Dependencies.method: (try members(API.Dependencies.Parameters(device: "d")), ["devices"]),
                API.Info.method: (named, reply),
                API.List.method: (
                    try members(API.List.Parameters(target: "t")), try members(API.List.Reply(devices: []))
                ),
                API.Targets.method: (nothing, try members(API.Targets.Reply(targets: []))),
                API.Wait.method: (
                    try members(API.Wait.Parameters(device: "d", eventNumber: 1, until: [.fill])),
                    try members(API.Wait.Reply(eventNumber: 1, event: Self.event))
                ),
                API.Events.method: (
                    try members(API.Events.Parameters(device: "d")), try members(API.Events.Reply(event: Self.event))
                ),
            ]
            let interface = try description()
            for method in interface.methods {
                let name = "\(interface.name).\(method.name)"
                #expect(Set(method.parameters.map(\.name)) == methods[name]?.0, "\(name)")
                #expect(Set(method.replies.map(\.name)) == methods[name]?.1, "\(name)")
            }
            #expect(interface.methods.count == methods.count)
        }

        @Test func failuresAreTheErrorsThatTheDescriptionDeclaresAndSurviveTheWire() throws {
            let failures: [API.Failure] = [
                .noSuchDevice(device: "d"), .exists(object: "o", reason: "r"), .inUse(device: "d", clients: 2),
                .failed(object: "o", operation: "p", reason: "r", errno: 5), .stopping,
            ]
            let interface = try description()
            #expect(interface.errors.count == failures.count)
            for failure in failures {
                let error = failure.varlinkError
                #expect(API.Failure(error) == failure)
                let declared = interface.errors.first { "\(interface.name).\($0.name)" == error.name }
                let members = error.decodeParameters(as: [String: Anything].self)
                #expect(
                    Set(try #require(declared).parameters.map(\.name)) == members.map { Set($0.keys) }, "\(error.name)")
            }
        }

        @Test func detailsKeepTheirTypesOnTheWire() throws {
            let data = try JSONEncoder().encode(Self.event)
            #expect(try JSONDecoder().decode(API.Event.self, from: data) == Self.event)
            let text = String(decoding: data, as: UTF8.self)
            #expect(text.contains(#""n":18446744073709551615"#) && text.contains(#""f":true"#), "\(text)")
        }

        @Test func everyDeclaredMethodIsImplemented() throws {
            let daemon = try TestDaemon()
            let implemented = try daemon.targets.makeInterface()
            #expect(Set(implemented.methods.keys) == Set(implemented.description.methods.map(\.name)))
            #expect(daemon.stop() == 0)
        }
    }
}
