import BlockIO
import Dispatch
import Glibc
import SystemPackage
import TestSupport
import Testing
import UnixSockets

@testable import BlockServers

@Suite("A listener")
struct ListenerTests {
    private func status(_ path: String) -> stat? {
        var status = stat()
        return lstat(path, &status) == 0 ? status : nil
    }

    @Test("makes a socket for owner and group, and leaves nothing behind")
    func mode() throws {
        let server = try Server(sectors: 8)
        #expect(status(server.path).map { $0.st_mode & 0o7777 } == 0o660)
        #expect(try RawClient(path: server.path).receive(8) == Array("NBDMAGIC".utf8))
        server.close()
        #expect(status(server.path) == nil && status(server.path + ".lock") == nil)
    }

    @Test("gives the socket the group that is asked for")
    func group() throws {
        guard getuid() == 0 else { return }
        let server = try Server(sectors: 8)
        let path = server.path + "2"
        let group = server.thread.sync { [thread = server.thread] in
            let device = HoldingDevice(sectors: 8)
            let listener = try? NBDListener(
                path: FilePath(path), name: "", device: device, thread: thread, mode: [.ownerReadWrite], group: 6)
            var status = stat()
            let result = lstat(path, &status) == 0 ? status.st_gid : 0
            listener?.close {}
            return result
        }
        #expect(group == 6)
    }

    @Test("takes the place of a dead server's socket, and of nothing else")
    func takenPaths() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("socket")
        let dead = try SocketCalls.makeSocket(nonblocking: false)
        try SocketCalls.bind(dead, to: FilePath(path))
        #expect(listen(dead, 1) == 0)
        let make: @Sendable (QueueThread) -> HoldingDevice = { _ in HoldingDevice(sectors: 8) }
        let live = try #require(throws: BlockError.self) { try Server(directory: directory, make) }
        #expect(live.errno == .addressInUse && live.object == path && live.reason.contains("answers"))
        SocketCalls.close(dead)
        let server = try Server(directory: directory, make)
        let second = try #require(throws: BlockError.self) { try Server(directory: directory, make) }
        #expect(second.errno == .addressInUse && second.reason.contains("lock"))
        server.close()
        _ = try directory.image("socket", contents: [1, 2, 3])
        let file = try #require(throws: BlockError.self) { try Server(directory: directory, make) }
        #expect(file.errno == .addressInUse && file.reason.contains("not a socket"))
        #expect(try Bytes.read(path, count: 3) == [1, 2, 3])
    }

    @Test("leaves a socket alone that somebody has put in the place of its own")
    func replaced() throws {
        let server = try Server(sectors: 8)
        #expect(unlink(server.path) == 0)
        let other = try SocketCalls.makeSocket(nonblocking: false)
        defer { SocketCalls.close(other) }
        try SocketCalls.bind(other, to: FilePath(server.path))
        server.close()
        #expect(status(server.path) != nil)
    }

    @Test("says what is wrong with a name or a folder")
    func badNames() throws {
        let server = try Server(sectors: 8)
        for name in ["a\0b", String(repeating: "n", count: 4097)] {
            let path = server.path
            let error: BlockError? = server.on { _, listener in
                do throws(BlockError) { try listener.rename(path: FilePath(path), name: name) } catch { return error }
                return nil
            }
            #expect(error?.errno == .invalidArgument)
        }
        let error: BlockError? = server.on { _, listener in
            do throws(BlockError) { try listener.rename(path: "/nowhere/socket", name: "a") } catch { return error }
            return nil
        }
        #expect(error?.errno == .noSuchFileOrDirectory)
        #expect(server.on { _, listener in listener.name } == "disk")
    }

    @Test("can be renamed while clients are connected")
    func rename() throws {
        let server = try Server(sectors: 8)
        let client = try RawClient(path: server.path, isStructured: false)
        let path = server.directory.file("other")
        _ = try server.directory.image("taken", contents: [1])
        let taken = server.directory.file("taken")
        let refusal: BlockError? = server.on { _, listener in
            do throws(BlockError) { try listener.rename(path: FilePath(taken), name: "taken") } catch { return error }
            return nil
        }
        #expect(refusal?.errno == .addressInUse && status(taken + ".lock") == nil)
        #expect(try RawClient(path: server.path).receive(1).count == 1)
        #expect(server.on { _, listener in (try? listener.rename(path: FilePath(path), name: "other")) != nil })
        #expect(status(server.path) == nil && status(server.path + ".lock") == nil)
        #expect(try client.ask(.read, length: 512).error == 0)
        let late = try RawClient(path: path)
        _ = try late.receive(18)
        try late.send(Wire.number(3) + Wire.option(.info, Wire.information("disk")) + Wire.option(.list))
        #expect(try late.optionReply().type == NBDOptionReply.unknown.rawValue)
        #expect(try late.optionReply().data == Wire.string("other"))
        server.close()
        #expect(status(path) == nil && status(path + ".lock") == nil)
    }

    @Test("counts those who use the device from the end of the negotiation to the end of the connection")
    func users() throws {
        let server = try Server(sectors: 8)
        let idle = try RawClient(path: server.path)
        _ = try idle.receive(18)
        #expect(server.on { device, listener in [device.users, listener.users] } == [0, 0])
        let first = try RawClient(path: server.path, isStructured: true)
        let second = try RawClient(path: server.path, isStructured: false)
        #expect(server.on { device, listener in [device.users, listener.users] } == [2, 2])
        try first.request(.disconnect)
        #expect(first.isAtEnd())
        #expect(server.wait { device, listener in device.users == 1 && listener.users == 1 })
        second.hangUp()
        #expect(server.wait { device, _ in device.users == 0 })
    }

    @Test("closes what is more than its connections at once")
    func cap() throws {
        var limits = NBDLimits()
        limits.connections = 2
        let server = try Server(sectors: 8, limits: limits)
        let clients = [try RawClient(path: server.path), try RawClient(path: server.path)]
        for client in clients { _ = try client.receive(18) }
        #expect(try RawClient(path: server.path).isAtEnd())
        clients[0].hangUp()
        #expect(server.wait { _, listener in listener.connectionCount == 1 })
        #expect(try RawClient(path: server.path).receive(18).count == 18)
    }

    @Test("drops a client that does not come to the end of its negotiation")
    func negotiationTime() throws {
        var limits = NBDLimits()
        limits.negotiation = 20_000_000
        let server = try Server(sectors: 8, limits: limits)
        let silent = try RawClient(path: server.path)
        _ = try silent.receive(18)
        let halfway = try RawClient(path: server.path)
        try halfway.send(Wire.number(3) + [0x49, 0x48])
        _ = try halfway.receive(18)
        #expect(silent.isAtEnd() && halfway.isAtEnd())
    }
}

@Suite("A listener that closes")
struct ListenerCloseTests {
    @Test("answers what is under way, refuses what comes, and ends")
    func close() throws {
        let server = try Server(sectors: 2048)
        let client = try RawClient(path: server.path, isStructured: true)
        let idle = try RawClient(path: server.path, isStructured: true)
        server.on { device, _ in device.isHolding = true }
        try client.request(.write, cookie: 1, data: [UInt8](repeating: 7, count: 4096))
        #expect(server.wait { device, _ in device.held.count == 1 })
        let done = server.beginClose()
        #expect(idle.isAtEnd())
        #expect(throws: Errno.self) { try RawClient(path: server.path) }
        try client.request(.read, cookie: 2, length: 4096)
        #expect(try client.reply().error == UInt32(ESHUTDOWN))
        try client.request(.write, cookie: 3, data: [UInt8](repeating: 8, count: 4096))
        #expect(try client.reply() == .init(cookie: 3, error: UInt32(ESHUTDOWN)))
        server.on { device, _ in device.releaseAll() }
        #expect(try client.reply() == .init(cookie: 1))
        #expect(client.isAtEnd())
        done.wait()
    }

    @Test("waits no longer than it must for a client that does not fetch its replies")
    func farewell() throws {
        var limits = NBDLimits()
        limits.farewell = 50_000_000
        let server = try Server(sectors: 65536, limits: limits)
        let client = try RawClient(path: server.path, isStructured: true)
        try client.request(.read, length: 32 << 20)
        #expect(server.wait { device, _ in device.seen.count == 1 })
        server.close()
    }
}
