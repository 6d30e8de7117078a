import BlockIO
import Glibc
import TestSupport
import Testing

@testable import BlockServers

@Suite("Transmission")
struct TransmissionTests {
    @Test("writes and reads, with simple replies and with structured ones", arguments: [false, true])
    func content(isStructured: Bool) throws {
        let before = Bytes.random(1 << 20, seed: 1)
        let server = try Server(contents: before)
        let client = try RawClient(path: server.path, isStructured: isStructured)
        let data = Bytes.random(8192, seed: 2)
        #expect(try client.ask(.write, offset: 4096, data: data) == .init(cookie: 42))
        let reply = try client.ask(.read, offset: 0, length: 16384)
        #expect(reply.error == 0 && reply.offset == (isStructured ? 0 : nil))
        #expect(reply.chunk == (isStructured ? NBDChunk.offsetData.rawValue : nil))
        #expect(reply.data == before[..<4096] + data + before[12288..<16384])
        #expect(try client.ask(.flush) == .init(cookie: 42))
        let after = Bytes.replacing(before, sector: 8, count: 16, from: data)
        #expect(try Bytes.difference(Bytes.read(server.image, count: 1 << 20), after) == nil)
    }

    @Test("takes payloads of every size, in one piece or byte by byte")
    func payloads() throws {
        let server = try Server(bytes: 4 << 20)
        let client = try RawClient(path: server.path, isStructured: true)
        for sectors in [1, 7, 8, 511, 512, 513, 1024, 4096] {
            let data = Bytes.random(sectors * 512, seed: UInt64(sectors))
            #expect(try client.ask(.write, offset: 512, data: data).error == 0)
            #expect(try client.ask(.read, offset: 512, length: data.count).data == data)
            #expect(try Bytes.difference(Bytes.read(server.image, at: 512, count: data.count), data) == nil)
        }
        let data = Bytes.random(1024, seed: 99)
        for byte in Wire.request(1, cookie: 7, offset: 0, length: 1024) + data { try client.send([byte]) }
        #expect(try client.reply() == .init(cookie: 7))
        #expect(try client.ask(.read, offset: 0, length: 1024).data == data)
    }

    @Test("answers many requests that came at once, each with its own data", arguments: ["auto", "blocking"])
    func pipeline(engine: String) throws {
        let content = Bytes.random(4 << 20, seed: 3)
        // A file on a disk does not go the short way of files in memory.
        for onDisk in [false, true] {
            let server = try Server(
                contents: content, engine: EngineChoice(rawValue: engine) ?? .auto, onDisk: onDisk)
            let client = try RawClient(path: server.path, isStructured: true)
            var bytes: [UInt8] = []
            for index in 0..<200 {
                bytes += Wire.request(0, cookie: UInt64(index), offset: UInt64(index) * 8192, length: 4096)
            }
            try client.send(bytes)
            var missing = Set(0..<200)
            while !missing.isEmpty {
                let reply = try client.reply()
                let index = Int(reply.cookie)
                #expect(missing.remove(index) != nil && reply.error == 0)
                #expect(reply.data == Array(content[index * 8192..<index * 8192 + 4096]))
            }
        }
    }

    @Test("reads begin and end anywhere, also on devices with large blocks")
    func unalignedReads() throws {
        let content = Bytes.random(64 << 10, seed: 4)
        let server = try Server(contents: content)
        server.on { device, _ in device.logicalBlockSectors = 8 }
        let client = try RawClient(path: server.path, isStructured: true)
        for (offset, length) in [(0, 1), (1, 1), (511, 2), (4095, 2), (4097, 8190), (65535, 1), (0, 65536)] {
            let reply = try client.ask(.read, offset: UInt64(offset), length: length)
            #expect(reply.error == 0 && reply.data == Array(content[offset..<offset + length]))
        }
    }

    @Test("carries out zeroes, discards, cache hints and flushes as the client asked")
    func operations() throws {
        let server = try Server(sectors: 2048)
        let client = try RawClient(path: server.path, isStructured: false)
        let data = Bytes.random(4096, seed: 5)
        #expect(try client.ask(.write, data: data).error == 0)
        #expect(server.on { device, _ in !device.sawFUA && !device.sawNoUnmap })
        #expect(try client.ask(.cache, length: 4096).error == 0)
        #expect(try client.ask(.trim, offset: 512, length: 512).error == 0)
        #expect(try client.ask(.writeZeroes, offset: 1024, length: 512).error == 0)
        let zeroes = [UInt8](repeating: 0, count: 1024)
        #expect(try client.ask(.read, length: 4096).data == data[..<512] + zeroes + data[1536...])
        #expect(server.on { device, _ in device.seen } == [.write, .discard, .writeZeroes, .read])
        #expect(try client.ask(.writeZeroes, flags: NBDCommandFlags.noHole.rawValue, length: 512).error == 0)
        #expect(server.on { device, _ in device.sawNoUnmap && !device.sawFUA })
        #expect(try client.ask(.write, flags: NBDCommandFlags.fua.rawValue, data: data).error == 0)
        #expect(server.on { device, _ in device.sawFUA })
    }

    @Test("what cannot be durable by itself is followed by a flush", arguments: [NBDCommand.trim, .writeZeroes])
    func flushAfter(command: NBDCommand) throws {
        let server = try Server(sectors: 2048)
        let client = try RawClient(path: server.path, isStructured: true)
        #expect(try client.ask(command, flags: NBDCommandFlags.fua.rawValue, length: 512).error == 0)
        #expect(server.on { device, _ in device.seen.last } == .flush)
        #expect(server.on { device, _ in device.seen.count } == 2)
    }

    @Test("forced unit access is taken with every command", arguments: [NBDCommand.read, .cache, .flush])
    func fuaAnywhere(command: NBDCommand) throws {
        let server = try Server(sectors: 2048)
        let client = try RawClient(path: server.path, isStructured: true)
        let length = command == .flush ? 0 : 512
        #expect(try client.ask(command, flags: NBDCommandFlags.fua.rawValue, length: length).error == 0)
    }

    @Test("a hint that the device does not take is no failure; any other error is passed on")
    func deviceErrors() throws {
        let server = try Server(sectors: 2048)
        let client = try RawClient(path: server.path, isStructured: true)
        server.on { device, _ in device.failure = EOPNOTSUPP }
        #expect(try client.ask(.trim, length: 512).error == 0)
        let numbers: [(Int32, UInt32)] = [
            (EIO, 5), (ENOSPC, 28), (EROFS, 1), (EDQUOT, 28), (EFBIG, 28), (EBADF, 5), (ETIMEDOUT, 5), (ENODATA, 5),
        ]
        for (error, number) in numbers {
            server.on { device, _ in device.failure = error }
            #expect(try client.ask(.write, data: [UInt8](repeating: 1, count: 512)).error == number)
            let reply = try client.ask(.read, length: 4096)
            #expect(reply == .init(cookie: 42, error: number, chunk: NBDChunk.error.rawValue))
        }
        server.on { device, _ in device.failure = 0 }
        #expect(try client.ask(.read, length: 4096).error == 0)
    }

    @Test("answers in the order in which requests end")
    func outOfOrder() throws {
        let server = try Server(sectors: 2048)
        let client = try RawClient(path: server.path, isStructured: true)
        server.on { device, _ in device.isHolding = true }
        for cookie in 1...3 as ClosedRange<UInt64> { try client.request(.read, cookie: cookie, length: 512) }
        #expect(server.wait { device, _ in device.held.count == 3 })
        for cookie in [3, 2] as [UInt64] {
            server.on { device, _ in device.release(last: true) }
            #expect(try client.reply().cookie == cookie)
        }
        // A flush need not wait for what was not answered.
        try client.request(.flush, cookie: 9)
        #expect(server.wait { device, _ in device.held.count == 2 })
        server.on { device, _ in device.release(last: true) }
        #expect(try client.reply().cookie == 9)
        server.on { device, _ in device.releaseAll() }
        #expect(try client.reply().cookie == 1)
    }

    @Test("a client has so many requests and bytes under way, and what is more waits in its socket")
    func bounds() throws {
        for (requests, bytes) in [(4, 1 << 20), (100, 16384)] {
            var limits = NBDLimits()
            limits.requests = requests
            limits.requestBytes = bytes
            let server = try Server(sectors: 2048, limits: limits)
            let client = try RawClient(path: server.path, isStructured: true)
            server.on { device, _ in device.isHolding = true }
            for cookie in 1...10 as ClosedRange<UInt64> { try client.request(.read, cookie: cookie, length: 4096) }
            #expect(server.wait { device, _ in device.held.count == 4 })
            // Others are served meanwhile, and it stays at that.
            let other = try RawClient(path: server.path, isStructured: true)
            #expect(try other.ask(.cache, length: 512).error == 0)
            #expect(server.on { device, _ in device.held.count } == 4)
            server.on { device, _ in device.release(last: true) }
            #expect(try client.reply().cookie == 4)
            #expect(server.wait { device, _ in device.held.count == 4 })
            server.on { device, _ in device.releaseAll() }
            for _ in 1...9 { #expect(try client.reply().error == 0) }
            // One that comes alone may be larger than all that is granted.
            #expect(try client.ask(.read, length: 1 << 20).data.count == 1 << 20)
        }
    }

    @Test("a client that ends what it sends gets the answers to all of it")
    func halfClose() throws {
        let server = try Server(sectors: 2048)
        let client = try RawClient(path: server.path, isStructured: true)
        server.on { device, _ in device.isHolding = true }
        for cookie in 1...3 as ClosedRange<UInt64> { try client.request(.read, cookie: cookie, length: 4096) }
        try client.request(.disconnect)
        client.endSending()
        #expect(server.wait { device, _ in device.held.count == 3 })
        server.on { device, _ in device.releaseAll() }
        for cookie in 1...3 as ClosedRange<UInt64> { #expect(try client.reply().cookie == cookie) }
        #expect(client.isAtEnd())
    }

    @Test("a client that goes while the device has its requests is forgotten when they end")
    func vanished() throws {
        let server = try Server(sectors: 2048)
        let client = try RawClient(path: server.path, isStructured: true)
        server.on { device, _ in device.isHolding = true }
        for cookie in 1...3 as ClosedRange<UInt64> { try client.request(.read, cookie: cookie, length: 4096) }
        #expect(server.wait { device, _ in device.held.count == 3 })
        client.hangUp()
        server.on { device, _ in device.release() }
        #expect(server.on { device, _ in device.users } == 1)
        server.on { device, _ in device.releaseAll() }
        #expect(server.wait { device, listener in device.users == 0 && listener.connectionCount == 0 })
    }
}
