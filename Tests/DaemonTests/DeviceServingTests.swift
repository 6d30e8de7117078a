import ControlAPI
import Glibc
import SystemPackage
import Testing

@testable import Daemon

extension DaemonTests {
    /// Mapped devices as their clients see them, through the sockets.
    @Suite(.enabled(if: NBDShell.isPossible, "needs python3-libnbd")) struct DeviceServingTests {
        @Test func aTableOfThreeTargetsServesEachOfItsParts() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            let image = try daemon.directory.noise("image", sectors: 64)
            let before = try image.bytes()
            let device = try control.create("d", "0 16 linear \(image.string) 8\n16 8 zero\n24 8 error\n")
            #expect(device.sectors == 32 && device.bytes == 16384 && device.targets == 3 && !device.suspended)
            #expect(device.socket == daemon.export("d").string)
            let client = try daemon.client(of: "d")
            #expect(try client("size") == "16384")
            #expect(try client.bytes(0, 8192) == Array(before[4096..<12288]))
            #expect(try client.bytes(8192, 4096).allSatisfy { $0 == 0 })
            #expect(try client("read 12288 512") == "error EIO")
            #expect(try client("write 512 1024 90") == "ok")
            #expect(try client("flush") == "ok")
            var after = before
            for index in 4608..<5632 { after[index] = 90 }
            #expect(try image.bytes() == after)
            #expect(try control.info("d").openCount == 1)
            client.end()
            try control.waitUntilUnused("d")
            #expect(try control.remove("d"))
            #expect(try image.isUnclaimed())
            #expect(daemon.stop() == 0)
        }

        @Test func aStopWhileWritersWaitForAStoreLetsNoneOfThemReachTheOrigin() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            let origin = try daemon.directory.noise("origin", sectors: 4096)
            let before = try origin.bytes()
            let store = try daemon.directory.image("store", sectors: 128)
            try control.create("o", "0 4096 snapshot-origin \(origin.string)")
            // The newest device goes first.
            _ = try control.call(
                TargetInterface.Create.self,
                .init(name: "s", table: "0 4096 snapshot \(origin.string) \(store.string) P 16", overflow: .hold))
            let client = try daemon.client(of: "o")
            #expect(try client("start 0 1048576 7") == "ok")
            #expect(try client("arrive") == "0")
            #expect(daemon.stop() == 0)
            #expect(try origin.bytes() == before)
        }

        @Test func bothTheEmptyNameAndTheDevicesOwnReachIt() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            try control.create("d", "0 8 zero")
            #expect(try NBDShell(daemon.export("d"), export: "d").state == "connected")
            #expect(try NBDShell(daemon.export("d"), export: "other").state == "refused")
            #expect(daemon.stop() == 0)
        }

        @Test func requestsToASuspendedDeviceWaitAndReachTheTableThatIsThenThere() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            let old = try daemon.directory.image("old", sectors: 16, filledWith: 1)
            let new = try daemon.directory.image("new", sectors: 16, filledWith: 2)
            try control.create("d", "0 16 linear \(old.string) 0")
            let client = try daemon.client(of: "d")
            #expect(try client.bytes(0, 512) == [UInt8](repeating: 1, count: 512))
            try control.suspend("d")
            #expect(try control.info("d").suspended)
            #expect(try client("start 0 512 9") == "ok")
            #expect(try client("arrive") == "0")
            try control.load("d", "0 16 linear \(new.string) 0")
            #expect(try control.info("d").inactiveTable)
            let tables = try control.call(TargetInterface.Table.self, .init(device: "d", inactive: true)).devices
            #expect(tables.first?.lines.map(\.text) == ["\(new.string) 0"])
            #expect(try client("arrive") == "0")
            try control.resume("d")
            #expect(try client("finish") == "ok")
            #expect(try client.bytes(0, 1024) == [UInt8](repeating: 9, count: 512) + [UInt8](repeating: 2, count: 512))
            #expect(try old.bytes().allSatisfy { $0 == 1 })
            #expect(try old.isUnclaimed())
            #expect(daemon.stop() == 0)
            #expect(try Array(new.bytes()[..<512]) == [UInt8](repeating: 9, count: 512))
        }

        @Test func aTableThatWasClearedLeavesTheLiveOneInPlace() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            let image = try daemon.directory.image("image", sectors: 16, filledWith: 1)
            try control.create("d", "0 16 zero")
            try control.load("d", "0 16 linear \(image.string) 0")
            #expect(try !image.isUnclaimed())
            try control.clear("d")
            #expect(try image.isUnclaimed())
            try control.resume("d")
            #expect(try daemon.client(of: "d").bytes(0, 512).allSatisfy { $0 == 0 })
            #expect(daemon.stop() == 0)
        }

        @Test func renamingMovesTheSocketAndDisturbsNobody() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            let image = try daemon.directory.image("image", sectors: 16, filledWith: 7)
            try control.create("old", "0 16 linear \(image.string) 0")
            let client = try daemon.client(of: "old")
            let device = try control.rename("old", to: "new")
            #expect(device.name == "new" && device.socket == daemon.export("new").string && device.openCount == 1)
            #expect(access(daemon.export("old").string, F_OK) != 0)
            #expect(try client.bytes(512, 512).allSatisfy { $0 == 7 })
            #expect(try NBDShell(daemon.export("new"), export: "new").bytes(0, 512).allSatisfy { $0 == 7 })
            #expect(try control.devices() == ["new"])
            // The name is free again.
            try control.create("old", "0 8 zero")
            #expect(targetFailure { try control.rename("old", to: "new") }?.errno == EEXIST)
            #expect(try daemon.client(of: "old")("size") == "4096")
            #expect(daemon.stop() == 0)
        }

        @Test func aReadOnlyDeviceRefusesWritesAndLeavesItsImageUnclaimed() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            let image = try daemon.directory.image("image", sectors: 16, filledWith: 7)
            #expect(try control.create("d", "0 16 linear \(image.string) 0", readOnly: true).readOnly)
            let client = try daemon.client(of: "d")
            #expect(try client("readonly") == "True")
            #expect(try client("write 0 512 1").hasPrefix("error"))
            #expect(try client.bytes(0, 512).allSatisfy { $0 == 7 })
            #expect(daemon.stop() == 0)
        }

        @Test func aClientThatIsKilledAmidARequestUsesTheDeviceNoLonger() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            let image = try daemon.directory.image("image", sectors: 16)
            try control.create("d", "0 16 linear \(image.string) 0")
            let client = try daemon.client(of: "d")
            try control.suspend("d")
            #expect(try client("start 0 512 9") == "ok")
            #expect(try client("arrive") == "0")
            client.end(killed: true)
            try control.resume("d")
            try control.waitUntilUnused("d")
            #expect(try control.remove("d"))
            #expect(daemon.stop() == 0)
        }

        @Test func aDeviceInUseIsNotRemovedUnlessForced() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            let image = try daemon.directory.image("image", sectors: 16, filledWith: 7)
            try control.create("d", "0 16 linear \(image.string) 0")
            let clients = [try daemon.client(of: "d"), try daemon.client(of: "d")]
            #expect(targetFailure { try control.remove("d") } == .inUse(device: "d", clients: 2))
            // It goes on as if nothing had been.
            #expect(try clients[0].bytes(0, 512).allSatisfy { $0 == 7 })
            #expect(try daemon.client(of: "d").state == "connected")
            // Also with a request that would wait for ever.
            try control.suspend("d")
            #expect(try clients[1]("start 0 512 9") == "ok")
            #expect(try clients[1]("arrive") == "0")
            #expect(try control.remove("d", force: true))
            #expect(try clients[0]("read 0 512").hasPrefix("error"))
            #expect(try clients[1]("finish").hasPrefix("error"))
            #expect(try control.devices().isEmpty)
            #expect(access(daemon.export("d").string, F_OK) != 0)
            #expect(try image.isUnclaimed() && image.bytes().allSatisfy { $0 == 7 })
            #expect(daemon.stop() == 0)
        }

        @Test func aDeferredRemovalWaitsForTheLastUser() throws {
            let daemon = try TestDaemon()
            let control = try daemon.connect()
            try control.create("d", "0 16 zero")
            let client = try daemon.client(of: "d")
            #expect(try !control.remove("d", deferred: true))
            #expect(try control.info("d").deferredRemove)
            #expect(try client.bytes(0, 512).count == 512)
            let watcher = try daemon.connect()
            client.end()
            let reply = try watcher.callWait("d", until: [.removed])
            #expect(reply?.event?.kind == .removed || reply == nil)
            while try !control.devices().isEmpty {}
            #expect(access(daemon.export("d").string, F_OK) != 0)
            try control.create("d", "0 16 zero")
            // Without users it does not wait.
            #expect(try control.remove("d", deferred: true))
            #expect(daemon.stop() == 0)
        }
    }
}

extension ControlConnection {
    /// Waits for an event; nil where the device is gone.
    func callWait(
        _ name: String, eventNumber: Int? = nil, until: [TargetInterface.EventKind]? = nil
    ) throws -> TargetInterface.Wait.Reply? {
        do {
            return try call(
                TargetInterface.Wait.self, .init(device: name, eventNumber: eventNumber, until: until))
        } catch ControlError.target(.noSuchDevice) {
            return nil
        }
    }
}
