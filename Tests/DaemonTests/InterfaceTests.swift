import ControlAPI
import FoundationEssentials
import Testing
import Varlink

@testable import Daemon

extension DaemonTests {
    /// Whether the interface's text and the types that stand for it say the same.
    @Suite struct InterfaceTests {
        private static let region = CopyInterface.Region(
            device: 1, path: "p", descriptor: 2, name: "n", sector: 3, count: 4)
        private static let options = CopyInterface.Options(
            ignoreErrors: true, sequential: true, skipHoles: true, detectZeroes: true, verify: true, flush: true,
            force: true)
        private static let fault = CopyInterface.Fault(destination: 1, sector: 2, count: 3, errno: 4, reason: "r")
        private static let job = CopyInterface.Job(
            job: 1, client: 2, name: "n", kind: .copy, state: .done, source: "s", destinations: ["d"], bytes: 1,
            totalBytes: 2, copiedBytes: 3, resumeAt: 4, seconds: 1.5, bytesPerSecond: 6, percent: 7, readError: true,
            writeErrors: [true], faults: [fault])
        private static let client = CopyInterface.Client(
            client: 1, name: "n", priority: .resync, pages: 2, locked: true, pid: 3, uid: 4, keep: true,
            bytesPerSecond: 5, percent: 6, jobs: 7)

        /// The members of a value's JSON.
        private func members(_ value: some Encodable) throws -> Set<String> {
            let data = try JSONEncoder().encode(value)
            let object = try JSONDecoder().decode([String: Anything].self, from: data)
            return Set(object.keys)
        }

        /// Accepts any JSON.
        private struct Anything: Decodable {
            init(from decoder: any Decoder) {}
        }

        private func description() throws -> InterfaceDescription {
            try InterfaceDescription(parsing: CopyInterface.description)
        }

        @Test func typesHaveTheFieldsThatTheDescriptionDeclares() throws {
            let types: [String: Set<String>] = [
                "Region": try members(Self.region), "Options": try members(Self.options),
                "Fault": try members(Self.fault), "Job": try members(Self.job), "Client": try members(Self.client),
            ]
            let interface = try description()
            #expect(interface.name == CopyInterface.name)
            for type in interface.types {
                switch type.type {
                case .structure(let fields): #expect(Set(fields.map(\.name)) == types[type.name], "\(type.name)")
                case .enumeration(let cases):
                    #expect(type.name == "Priority" && cases == CopyInterface.Priority.allCases.map(\.rawValue))
                default: Issue.record("\(type.name) is neither structure nor enumeration")
                }
            }
            #expect(interface.types.count == types.count + 1)
        }

        @Test func methodsHaveTheParametersAndRepliesThatTheDescriptionDeclares() throws {
            let nothing: Set<String> = []
            let methods: [String: (Set<String>, Set<String>)] = [
                CopyInterface.CreateClient.method: (
                    try members(
                        CopyInterface.CreateClient.Parameters(
                            pages: 1, name: "n", priority: .scrub, bytesPerSecond: 1, percent: 1, keep: true)),
                    try members(CopyInterface.CreateClient.Reply(client: 1))
                ),
                CopyInterface.DestroyClient.method: (
                    try members(CopyInterface.DestroyClient.Parameters(client: 1, cancel: true)), nothing
                ),
                CopyInterface.OpenDevice.method: (
                    try members(
                        CopyInterface.OpenDevice.Parameters(
                            path: "p", descriptor: 1, name: "n", writable: true, force: true)),
                    try members(CopyInterface.OpenDevice.Reply(device: 1, sectors: 2, logicalBlockSize: 3))
                ),
                CopyInterface.CloseDevice.method: (
                    try members(CopyInterface.CloseDevice.Parameters(device: 1)), nothing
                ),
                CopyInterface.Copy.method: (
                    try members(
                        CopyInterface.Copy.Parameters(
                            client: 1, source: Self.region, destinations: [Self.region], options: Self.options)),
                    try members(CopyInterface.JobReply(job: 1))
                ),
                CopyInterface.Zero.method: (
                    try members(
                        CopyInterface.Zero.Parameters(client: 1, regions: [Self.region], options: Self.options)),
                    try members(CopyInterface.JobReply(job: 1))
                ),
                CopyInterface.List.method: (nothing, try members(CopyInterface.List.Reply(clients: [], jobs: []))),
                CopyInterface.Watch.method: (
                    try members(CopyInterface.Watch.Parameters(job: 1, client: 2, interval: 3)),
                    try members(CopyInterface.Watch.Reply(job: Self.job))
                ),
                CopyInterface.Cancel.method: (
                    try members(CopyInterface.Cancel.Parameters(job: 1)),
                    try members(CopyInterface.Cancel.Reply(job: Self.job))
                ),
                CopyInterface.SetRate.method: (
                    try members(CopyInterface.SetRate.Parameters(job: 1, client: 2, bytesPerSecond: 3, percent: 4)),
                    nothing
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
            let failures: [CopyInterface.Failure] = [
                .noSuchClient(client: 1), .noSuchJob(job: 2), .noSuchDevice(device: 3),
                .deviceFailed(object: "o", operation: "p", reason: "r", errno: 5),
                .refused(object: "o", reason: "r", errno: 22), .limitExceeded(what: "w", limit: 9), .stopping,
            ]
            let interface = try description()
            #expect(interface.errors.count == failures.count)
            for failure in failures {
                let error = failure.varlinkError
                #expect(CopyInterface.Failure(error) == failure)
                let declared = interface.errors.first { "\(interface.name).\($0.name)" == error.name }
                let members = error.decodeParameters(as: [String: Anything].self)
                #expect(
                    Set(try #require(declared).parameters.map(\.name)) == members.map { Set($0.keys) }, "\(error.name)")
            }
        }

        @Test func everyDeclaredMethodIsImplemented() throws {
            let daemon = try TestDaemon()
            let implemented = try daemon.control.makeInterface()
            #expect(Set(implemented.methods.keys) == Set(implemented.description.methods.map(\.name)))
            #expect(daemon.stop() == 0)
        }
    }
}
