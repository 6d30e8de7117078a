import BlockIO
import Glibc
import TestSupport
import Testing

@testable import BlockServers

/// A request that is refused, and with what.
struct Refusal: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var type: UInt16
    var flags: UInt16 = 0
    var offset: UInt64 = 0
    var length: UInt32 = 0
    var error: Int32

    init(_ what: String, _ type: UInt16, flags: UInt16 = 0, offset: UInt64 = 0, length: UInt32 = 0, _ error: Int32) {
        testDescription = what
        self.type = type
        self.flags = flags
        self.offset = offset
        self.length = length
        self.error = error
    }

    /// On a device of 1 MiB with blocks of 4 KiB.
    static let all: [Refusal] = [
        Refusal("an unknown command", 8, EINVAL),
        Refusal("another one with a length", 0xFFFF, length: 0xFFFF_FFFF, EINVAL),
        Refusal("an unknown flag", 0, flags: 1 << 6, length: 512, EINVAL),
        Refusal("a flag of extended headers", 7, flags: 1 << 5, length: 4096, EINVAL),
        Refusal("a write with the flag of zeroes", 1, flags: 1 << 1, length: 4096, EINVAL),
        Refusal("a read with the flag of block status", 0, flags: 1 << 3, length: 4096, EINVAL),
        Refusal("a read behind the end", 0, offset: 1 << 20, length: 512, EINVAL),
        Refusal("a read across the end", 0, offset: (1 << 20) - 512, length: 1024, EINVAL),
        Refusal("a read around the end of numbers", 0, offset: .max - 100, length: 512, EINVAL),
        Refusal("a read of 64 MiB and a byte", 0, length: (64 << 20) + 1, EINVAL),
        Refusal("a write across the end", 1, offset: (1 << 20) - 4096, length: 8192, ENOSPC),
        Refusal("a write around the end of numbers", 1, offset: .max - 4095, length: 8192, ENOSPC),
        Refusal("zeroes across the end", 6, offset: 4096, length: 1 << 20, ENOSPC),
        Refusal("zeroes of 4 GiB", 6, length: 0xFFFF_F000, ENOSPC),
        Refusal("a discard across the end", 4, offset: 4096, length: 1 << 20, EINVAL),
        Refusal("a cache hint across the end", 5, offset: 4096, length: 1 << 20, EINVAL),
        Refusal("an unaligned write", 1, offset: 512, length: 4096, EINVAL),
        Refusal("a short write", 1, offset: 0, length: 512, EINVAL),
        Refusal("an unaligned discard", 4, offset: 0, length: 4097, EINVAL),
        Refusal("unaligned zeroes", 6, offset: 1, length: 4096, EINVAL),
        Refusal("a flush of a range", 3, length: 4096, EINVAL),
        Refusal("a flush at a place", 3, offset: 4096, EINVAL),
        Refusal("unaligned block status", 7, offset: 512, length: 4096, EINVAL),
        Refusal("block status across the end", 7, offset: 4096, length: 1 << 20, EINVAL),
        Refusal("block status of nothing", 7, EINVAL),
    ]
}

@Suite("Requests that break a rule")
struct RequestRuleTests {
    private func makeServer() throws -> Server<HoldingDevice> {
        let server = try Server(sectors: 2048)
        server.on { device, _ in device.logicalBlockSectors = 8 }
        return server
    }

    @Test("are refused, and the connection goes on", arguments: Refusal.all, [false, true])
    func refused(_ refusal: Refusal, isStructured: Bool) throws {
        let server = try makeServer()
        let client = try RawClient(path: server.path, isStructured: isStructured, hasAllocation: isStructured)
        let header = Wire.request(
            refusal.type, flags: refusal.flags, cookie: 5, offset: refusal.offset, length: refusal.length)
        let payload = refusal.type == 1 ? [UInt8](repeating: 0x25, count: Int(refusal.length)) : []
        try client.send(header + payload)
        let reply = try client.reply()
        let inChunk = isStructured && (refusal.type == 0 || refusal.type == 7)
        #expect(reply.cookie == 5 && reply.error == UInt32(refusal.error) && reply.data.isEmpty)
        #expect(reply.chunk == (inChunk ? NBDChunk.error.rawValue : nil))
        #expect(server.on { device, _ in device.seen }.isEmpty)
        #expect(try client.ask(.read, length: 4096).data == [UInt8](repeating: 0, count: 4096))
    }

    @Test("on a read-only device include everything that writes", arguments: [NBDCommand.write, .trim, .writeZeroes])
    func readOnly(command: NBDCommand) throws {
        let server = try makeServer()
        server.on { device, _ in device.isReadOnly = true }
        let client = try RawClient(path: server.path, isStructured: true)
        let data = command == .write ? [UInt8](repeating: 1, count: 4096) : []
        #expect(try client.ask(command, length: 4096, data: data).error == UInt32(EPERM))
        #expect(try client.ask(.read, length: 4096).error == 0)
        #expect(try client.ask(.flush).error == 0)
        #expect(server.on { device, _ in device.seen } == [.read, .flush])
    }

    @Test("include discards where none is offered, fast zeroes that are not, and block status that was not selected")
    func notOffered() throws {
        let server = try makeServer()
        server.on { device, _ in
            device.canDiscard = false
            device.canWriteZeroesFast = false
        }
        let client = try RawClient(path: server.path, isStructured: true)
        #expect(try client.ask(.trim, length: 4096).error == UInt32(EINVAL))
        let fast = NBDCommandFlags.fastZero.rawValue
        #expect(try client.ask(.writeZeroes, flags: fast, length: 4096).error == UInt32(EOPNOTSUPP))
        #expect(try client.ask(.blockStatus, length: 4096).error == UInt32(EINVAL))
        #expect(server.on { device, _ in device.seen }.isEmpty)
        #expect(try client.ask(.writeZeroes, length: 4096).error == 0)
    }

    @Test(
        "do not include lengths of zero, which do nothing",
        arguments: [NBDCommand.read, .write, .trim, .cache, .writeZeroes])
    func nothing(command: NBDCommand) throws {
        let server = try makeServer()
        for isStructured in [false, true] {
            let client = try RawClient(path: server.path, isStructured: isStructured)
            let reply = try client.ask(command, offset: 4096)
            #expect(reply.error == 0 && reply.data.isEmpty)
            #expect(reply.chunk == (isStructured && command == .read ? NBDChunk.none.rawValue : nil))
        }
        #expect(server.on { device, _ in device.seen }.isEmpty)
    }

    @Test("end the connection where they do not begin as requests do, after what came before was answered")
    func badMagic() throws {
        let server = try makeServer()
        let client = try RawClient(path: server.path, isStructured: true)
        try client.request(.read, cookie: 8, length: 4096)
        try client.send(Wire.request(0, length: 4096, magic: 0x2560_9514))
        #expect(try client.reply().cookie == 8)
        #expect(client.isAtEnd())
        #expect(server.wait { device, _ in device.users == 0 })
    }

    @Test("have their payload read away up to 128 MiB; a client that announces more is dropped")
    func oversizedWrites() throws {
        let server = try makeServer()
        let client = try RawClient(path: server.path, isStructured: true)
        try client.send(Wire.request(1, cookie: 5, length: (64 << 20) + 4096))
        let piece = [UInt8](repeating: 0x25, count: 1 << 20)
        for _ in 0..<64 { try client.send(piece) }
        try client.send([UInt8](repeating: 0x25, count: 4096))
        #expect(try client.reply() == .init(cookie: 5, error: UInt32(EINVAL)))
        #expect(try client.ask(.read, length: 4096).error == 0)
        try client.send(Wire.request(1, cookie: 6, length: (128 << 20) + 1))
        #expect(client.isAtEnd())
    }

    @Test("are none where 64 MiB are written and read in one request")
    func largest() throws {
        let server = try Server(bytes: 80 << 20)
        let client = try RawClient(path: server.path, isStructured: true)
        let data = Bytes.random(64 << 20, seed: 6)
        #expect(try client.ask(.write, offset: 4096, data: data).error == 0)
        let reply = try client.ask(.read, flags: NBDCommandFlags.dontFragment.rawValue, offset: 4096, length: 64 << 20)
        #expect(Bytes.difference(reply.data, data) == nil)
    }
}

@Suite("Block status")
struct BlockStatusTests {
    private func extents(_ reply: RawClient.Reply) -> [[UInt32]] {
        var cursor = ByteCursor(reply.data)
        var extents: [[UInt32]] = []
        while let length = cursor.number(UInt32.self), let flags = cursor.number(UInt32.self) {
            extents.append([length, flags])
        }
        return cursor.isAtEnd ? extents : []
    }

    @Test("tells where an image file has holes")
    func holes() throws {
        let server = try Server(bytes: 4 << 20)
        try Bytes.write(Bytes.random(65536, seed: 7), to: server.image, at: 1 << 20)
        let client = try RawClient(path: server.path, isStructured: true, hasAllocation: true)
        let all = try client.ask(.blockStatus, length: 4 << 20)
        #expect(extents(all) == [[1 << 20, 3], [65536, 0], [(3 << 20) - 65536, 3]])
        let part = try client.ask(.blockStatus, offset: (1 << 20) + 4096, length: 1 << 20)
        #expect(extents(part) == [[61440, 0], [(1 << 20) - 61440, 3]])
        let one = NBDCommandFlags.requestOne.rawValue
        #expect(try extents(client.ask(.blockStatus, flags: one, offset: 0, length: 4 << 20)) == [[1 << 20, 3]])
    }

    @Test("joins what is alike, ends with the request and is cut where it is long")
    func shape() throws {
        let server = try Server(sectors: 16384)
        let client = try RawClient(path: server.path, isStructured: true, hasAllocation: true)
        server.on { device, _ in
            device.known = [
                Allocation(end: 8, isHole: true, isZero: true), Allocation(end: 16, isHole: true, isZero: true),
                Allocation(end: 24, isHole: false, isZero: true), Allocation(end: 16384, isHole: false, isZero: false),
            ]
        }
        #expect(try extents(client.ask(.blockStatus, length: 65536)) == [[8192, 3], [4096, 2], [53248, 0]])
        server.on { device, _ in
            device.known = (1...16384).map { Allocation(end: $0, isHole: $0 % 2 == 0, isZero: false) }
        }
        let many = try extents(client.ask(.blockStatus, length: 8 << 20))
        #expect(many.count == 2000 && many.allSatisfy { $0[0] == 512 })
        server.on { device, _ in device.known = [] }
        #expect(try client.ask(.blockStatus, length: 4096).error == UInt32(EIO))
    }
}
