import ControlAPI
import Dispatch
import Glibc
import SystemPackage
import Testing

@testable import Daemon

extension DaemonTests {
    /// What `io.ucopyd.Target` does and refuses, without clients of the devices.
    @Suite struct DeviceMethodTests {
        private func failed(_ failure: TargetInterface.Failure?) -> (object: String, reason: String, errno: Int32)? {
            guard case .failed(let object, _, let reason, let errno) = failure else { return nil }
            return (object, reason, errno)
        }

        @Test func aNameOrUUIDThatIsTakenIsRefusedAndNothingChanges() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            try control.create("a", "0 8 zero", uuid: "UCOPY-1")
            #expect(
                targetFailure { try control.create("a", "0 16 error") }
                    == .exists(object: "a", reason: "a device of this name exists"))
            #expect(
                targetFailure { try control.create("b", "0 16 error", uuid: "UCOPY-1") }
                    == .exists(object: "b", reason: "the uuid UCOPY-1 is that of device a"))
            #expect(try control.devices() == ["a"])
            #expect(try control.info("UCOPY-1").sectors == 8)
            #expect(access(daemon.export("b").string, F_OK) != 0)
            #expect(try control.remove("UCOPY-1"))
            try control.create("b", "0 16 error", uuid: "UCOPY-1")
            #expect(daemon.stop() == 0)
        }

        @Test(arguments: [
            ("", "a name has 1 to 127 bytes"), ("a/b", "letters, digits"), (".", "name of a directory"),
            (String(repeating: "n", count: 128), "at most 127"), (String(repeating: "n", count: 120), "107 bytes"),
        ])
        func aNameThatCannotBeIsRefused(name: String, part: String) throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            let refusal = try #require(failed(targetFailure { try control.create(name, "0 8 zero") }))
            #expect(refusal.reason.contains(part), "\(refusal)")
            try control.create("d", "0 8 zero")
            #expect(failed(targetFailure { try control.rename("d", to: name) })?.reason.contains(part) == true)
            #expect(try control.devices() == ["d"])
            #expect(daemon.stop() == 0)
        }

        @Test(arguments: [
            ("", "table", "no lines"), ("0 8 zero\n9 8 zero", "table line 2, word 1 \"9\"", "gap"),
            ("0 8 frob", "table line 1, word 3 \"frob\"", "no such target"),
            ("0 8 zero a", "table line 1, word 4 \"a\"", "no words"),
            ("0 8 linear IMAGE x", "table line 1, word 5 \"x\"", "decimal number"),
            ("0 8 linear IMAGE", "table line 1, word 5", "missing"),
            ("0 8 zero\n8 9 linear IMAGE 8", "table line 2, word 5 \"8\"", "16"),
            ("0 8 linear /nonexistent/image 0", "table line 1, word 4 \"/nonexistent/image\"", "No such file"),
        ])
        func aWrongTableIsToldByItsWordAndLeavesNothingBehind(table: String, object: String, reason: String) throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            let image = try daemon.directory.image("image", sectors: 16, filledWith: 1)
            let text = table.split(separator: "IMAGE", omittingEmptySubsequences: false).joined(
                separator: image.string)
            let refusal = try #require(failed(targetFailure { try control.create("d", text) }))
            #expect(refusal.object == object && refusal.reason.contains(reason) && refusal.errno > 0, "\(refusal)")
            #expect(try control.devices().isEmpty)
            #expect(access(daemon.export("d").string, F_OK) != 0)
            #expect(try image.isUnclaimed())
            // The same for a table that is loaded: the device goes on with what it had.
            try control.create("d", "0 8 zero")
            #expect(failed(targetFailure { try control.load("d", text) })?.object == object)
            #expect(try !control.info("d").inactiveTable)
            #expect(daemon.stop() == 0)
        }

        @Test func aSocketPathThatIsTakenLeavesNothingHalfMade() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            let image = try daemon.directory.image("image", sectors: 16)
            let path = daemon.export("d")
            try FileDescriptor.open(path, .writeOnly, options: [.create], permissions: [.ownerReadWrite]).close()
            let refusal = try #require(
                failed(targetFailure { try control.create("d", "0 16 linear \(image.string) 0", uuid: "u") }))
            #expect(refusal.object == path.string && refusal.errno == EADDRINUSE, "\(refusal)")
            #expect(try control.devices().isEmpty && image.isUnclaimed())
            try control.create("e", "0 8 zero")
            #expect(failed(targetFailure { try control.rename("e", to: "d") })?.errno == EADDRINUSE)
            #expect(try control.info("e").socket == daemon.export("e").string)
            unlink(path.string)
            try control.create("d", "0 16 linear \(image.string) 0", uuid: "u")
            #expect(daemon.stop() == 0)
        }

        @Test func whatIsNotThereIsNoSuchDevice() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            let calls: [() throws -> Void] = [
                { try control.remove("x") }, { try control.suspend("x") }, { try control.resume("x") },
                { try control.clear("x") }, { try control.load("x", "0 8 zero") }, { try control.rename("x", to: "y") },
                { _ = try control.info("x") },
                { _ = try control.call(TargetInterface.Status.self, .init(device: "x")) },
                { _ = try control.call(TargetInterface.Table.self, .init(device: "x")) },
                { _ = try control.call(TargetInterface.Dependencies.self, .init(device: "x")) },
                { _ = try control.call(TargetInterface.Message.self, .init(device: "x", sector: 0, text: "a")) },
                { _ = try control.call(TargetInterface.Wait.self, .init(device: "x")) },
            ]
            for call in calls { #expect(targetFailure(call) == .noSuchDevice(device: "x")) }
            #expect(daemon.stop() == 0)
        }

        @Test func listingsTellWhatThereIs() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            let image = try daemon.directory.image("image", sectors: 16)
            try control.create("b", "0 8 zero\n8 8 linear \(image.string) 8", uuid: "UCOPY-b")
            try control.create("a")
            #expect(try control.devices() == ["a", "b"])
            #expect(try control.devices(target: "linear") == ["b"])
            #expect(try control.devices(target: "error").isEmpty)
            let bare = try control.info("a")
            #expect(!bare.liveTable && !bare.suspended && bare.sectors == 0 && bare.uuid == nil && bare.targets == 0)
            let tables = try control.call(TargetInterface.Table.self, .init()).devices
            #expect(
                tables.map(\.name) == ["a", "b"] && tables[0].lines.isEmpty && tables[1].uuid == "UCOPY-b"
                    && tables[1].lines == [
                        .init(start: 0, length: 8, target: "zero", text: ""),
                        .init(start: 8, length: 8, target: "linear", text: "\(image.string) 8"),
                    ])
            let status = try control.call(TargetInterface.Status.self, .init(device: "b")).devices
            #expect(status.map { $0.lines.map(\.target) } == [["zero", "linear"]])
            #expect(status[0].lines.allSatisfy { $0.text == "" })
            let dependencies = try control.call(TargetInterface.Dependencies.self, .init()).devices
            #expect(dependencies.map(\.devices) == [[], [image.string]])
            let targets = try control.call(TargetInterface.Targets.self, .init()).targets
            #expect(targets.first { $0.name == "linear" }?.version.count == 3)
            #expect(Set(targets.map(\.name)).isSuperset(of: ["linear", "zero", "error"]))
            #expect(daemon.stop() == 0)
        }

        @Test func messagesReachTheTargetAndAreRefusedByIt() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            try control.create("d", "0 8 zero")
            let refusal = failed(
                targetFailure {
                    _ = try control.call(TargetInterface.Message.self, .init(device: "d", sector: 0, text: "hello you"))
                })
            #expect(refusal?.errno == EINVAL && refusal?.reason.contains("hello you") == true)
            let behind = failed(
                targetFailure {
                    _ = try control.call(TargetInterface.Message.self, .init(device: "d", sector: 8, text: "hello"))
                })
            #expect(behind?.reason.contains("there is no sector 8") == true)
            #expect(daemon.stop() == 0)
        }

        @Test func aUUIDIsGivenOnceAndThenNamesTheDevice() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            try control.create("d", "0 8 zero")
            try control.create("e", "0 8 zero", uuid: "taken")
            #expect(targetFailure { try control.rename("d", uuid: "taken") }?.errno == EEXIST)
            #expect(try control.rename("d", uuid: "UCOPY-d").uuid == "UCOPY-d")
            #expect(try control.info("UCOPY-d").name == "d")
            #expect(targetFailure { try control.rename("d", uuid: "UCOPY-e") }?.errno == EINVAL)
            #expect(targetFailure { try control.rename("d") }?.errno == EINVAL)
            // One that was refused names nothing.
            #expect(targetFailure { _ = try control.info("UCOPY-e") } == .noSuchDevice(device: "UCOPY-e"))
            #expect(daemon.stop() == 0)
        }

        @Test func manyCallersAtOnceNeverGetTheSameName() throws {
            let daemon = try TestDaemon()
            let image = try daemon.directory.image("image", sectors: 16)
            let wins = Box(0)
            let strange = Box<[String]>([])
            DispatchQueue.concurrentPerform(iterations: 4) { caller in
                do {
                    let control = try daemon.connect()
                    for round in 0..<25 {
                        do {
                            try control.create("d", "0 16 linear \(image.string) 0", uuid: "UCOPY-d")
                            wins.change { $0 += 1 }
                            if round % 2 == 0 { try control.load("d", "0 16 zero") }
                            try control.suspend("d")
                            try control.rename("d", to: "d\(caller)")
                            try control.resume("d\(caller)")
                            try control.remove("d\(caller)")
                        } catch ControlError.target(.exists) {
                            // Somebody else has the device: whatever is done to it is done or refused as a whole.
                            _ = targetFailure { try control.suspend("d") }
                            _ = targetFailure { try control.resume("d") }
                            _ = targetFailure { try control.remove("UCOPY-d") }
                        } catch ControlError.target(.noSuchDevice) {
                            continue
                        }
                    }
                } catch {
                    strange.change { $0.append("\(error)") }
                }
            }
            #expect(strange.get() == [])
            #expect(wins.get() >= 1)
            let control = try daemon.connect()
            for name in try control.devices() { try control.remove(name) }
            #expect(try image.isUnclaimed())
            try control.create("d", "0 16 linear \(image.string) 0", uuid: "UCOPY-d")
            #expect(daemon.stop() == 0)
            #expect(try image.isUnclaimed())
        }
    }
}
