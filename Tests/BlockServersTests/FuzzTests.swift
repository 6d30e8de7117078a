import BlockIO
import Glibc
import SystemPackage
import TestSupport
import Testing
import UnixSockets

@testable import BlockServers

/// Bytes that are nearly right. Every seed gives the same ones each time.
private struct Mutator {
    var numbers: SeededNumbers

    init(seed: UInt64) { numbers = SeededNumbers(seed) }

    mutating func below(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &numbers) }
    mutating func chance(_ one: Int) -> Bool { below(one) == 0 }

    /// Numbers at which lengths and positions go wrong.
    mutating func edge() -> UInt32 {
        let edges: [UInt32] = [
            0, 1, 2, 511, 512, 513, 4096, 65536, 1 << 20, 64 << 20, 128 << 20, 1 << 31, .max - 1, .max,
        ]
        return edges[below(edges.count)]
    }

    /// Cuts, repeats, replaces and inserts a little.
    mutating func damage(_ bytes: inout [UInt8]) {
        for _ in 0..<below(4) where !bytes.isEmpty {
            let place = below(bytes.count)
            switch below(5) {
            case 0: bytes[place] = UInt8(below(256))
            case 1: bytes[place] ^= 1 << UInt8(below(8))
            case 2: bytes.remove(at: place)
            case 3: bytes.insert(contentsOf: Wire.number(edge()), at: place)
            default:
                let number = Wire.number(edge())
                for (index, byte) in number.enumerated() where place + index < bytes.count {
                    bytes[place + index] = byte
                }
            }
        }
    }

    mutating func text() -> String {
        let texts = ["", "disk", "base:", "base:allocation", "x", "dis", "disk2", String(repeating: "n", count: 4097)]
        return texts[below(texts.count)]
    }

    /// An option and its data.
    mutating func option() -> [UInt8] {
        let number = UInt32(below(14))
        switch NBDOption(rawValue: number) {
        case .info, .go: return Wire.option(number, Wire.information(text(), (0..<below(5)).map { UInt16($0) }))
        case .listMetaContext, .setMetaContext:
            return Wire.option(number, Wire.queries(text(), (0..<below(4)).map { _ in text() }))
        case .exportName: return Wire.option(number, chance(3) ? Array(text().utf8) : Array("wrong".utf8))
        case .structuredReply: return Wire.option(number)
        default: return Wire.option(number, [UInt8](repeating: 7, count: chance(3) ? below(300) : 0))
        }
    }

    /// A request, most of the time one that is allowed.
    mutating func request() -> [UInt8] {
        let type = UInt16(chance(20) ? below(65536) : below(9))
        let offset = chance(8) ? UInt64(edge()) << UInt64(below(33)) : UInt64(below(2100)) * 512
        let isWrite = type == NBDCommand.write.rawValue
        let length = chance(8) && !isWrite ? edge() : UInt32(below(40)) * (chance(8) ? 100 : 512)
        let flags = UInt16(chance(4) ? below(64) : 0)
        // A goodbye would end every second run at once.
        let command = type == NBDCommand.disconnect.rawValue && !chance(20) ? 0 : type
        let header = Wire.request(command, flags: flags, cookie: numbers.next(), offset: offset, length: length)
        return header + (isWrite ? [UInt8](repeating: UInt8(below(256)), count: Int(length)) : [])
    }
}

/// How long to go on: a second, or UCOPYD_FUZZ_SECONDS.
private let fuzzNanoseconds: UInt64 =
    getenv("UCOPYD_FUZZ_SECONDS").flatMap { UInt64(String(cString: $0)) }.map { $0 * 1_000_000_000 } ?? 1_000_000_000

/// Runs with one seed after the other, from 1 on, until the time is over; ends with the first that goes wrong.
private func eachSeed(_ body: (UInt64) throws -> Bool) rethrows {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    let start = UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    var now = start
    var seed: UInt64 = 1
    while now - start < fuzzNanoseconds || seed < 20 {
        guard try body(seed) else {
            Issue.record("seed \(seed)")
            return
        }
        seed += 1
        clock_gettime(CLOCK_MONOTONIC, &time)
        now = UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

@Suite("Nonsense from clients")
struct FuzzTests {
    @Test("does the handshake no harm, however it is cut")
    func handshake() {
        let export = NBDExport(name: "disk", device: HoldingDevice(sectors: 2048))
        eachSeed { seed in
            var mutator = Mutator(seed: seed)
            var bytes = Wire.number(mutator.chance(10) ? mutator.edge() : UInt32(mutator.below(4)))
            for _ in 0..<mutator.below(40) { bytes += mutator.option() }
            if !mutator.chance(4) { mutator.damage(&bytes) }
            var whole = NBDHandshake(export: export, limits: NBDLimits())
            let used = bytes.withUnsafeBytes { whole.take($0) }
            var cut = NBDHandshake(export: export, limits: NBDLimits())
            var start = 0
            var end = 0
            while end < bytes.count {
                end = min(bytes.count, end + 1 + mutator.below(50))
                start += bytes[start..<end].withUnsafeBytes { cut.take($0) }
            }
            guard used == start, whole.state == cut.state, whole.output == cut.output else { return false }
            // Every option has its answer, and the answers are not many times what was asked.
            guard whole.output.count < 100_000 else { return false }
            if case .transmission = whole.state { return true }
            var cursor = ByteCursor(Array(whole.output.dropFirst(18)))
            return cursor.optionReplies() != nil
        }
    }

    @Test("does a served device no harm, and the next client none either")
    func transmission() throws {
        let server = try Server(sectors: 2048)
        try eachSeed { seed in
            var mutator = Mutator(seed: seed)
            let client = try RawClient(path: server.path, isStructured: true, hasAllocation: true)
            var bytes: [UInt8] = []
            var requests = 0
            while bytes.count < 200_000, requests < 60 {
                bytes += mutator.request()
                requests += 1
            }
            if mutator.chance(2) { mutator.damage(&bytes) }
            let replies = try client.exchange(bytes)
            guard let count = Self.countReplies(replies), count <= bytes.count / NBDSize.request else { return false }
            let next = try RawClient(path: server.path, isStructured: false)
            let data = Bytes.random(4096, seed: seed)
            guard try next.ask(.write, offset: 8192, data: data).error == 0 else { return false }
            return try next.ask(.read, offset: 8192, length: 4096).data == data
        }
        #expect(server.wait { device, _ in device.users == 0 })
    }

    /// How many replies there are; nil where something is no reply.
    private static func countReplies(_ bytes: [UInt8]) -> Int? {
        var cursor = ByteCursor(bytes)
        var count = 0
        while !cursor.isAtEnd {
            switch cursor.number(UInt32.self) {
            case NBDMagic.simpleReply:
                guard cursor.take(12) != nil else { return nil }
            case NBDMagic.structuredReply:
                guard cursor.take(12) != nil, let length = cursor.number(UInt32.self), cursor.take(Int(length)) != nil
                else { return nil }
            default: return nil
            }
            count += 1
        }
        return count
    }
}

extension RawClient {
    /// Says something, in pieces, and hears everything that comes until the server hangs up.
    fileprivate func exchange(_ bytes: [UInt8]) throws -> [UInt8] {
        var heard: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        var sent = 0
        while sent < bytes.count {
            let end = min(bytes.count, sent + 10_000)
            let some = bytes[sent..<end].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
            }
            if some > 0 { sent += some }
            // The server may have hung up.
            if some < 0, errno != EAGAIN { break }
            let count = recv(descriptor, &piece, piece.count, Int32(MSG_DONTWAIT))
            if count > 0 { heard += piece[..<count] }
            if count == 0 { break }
        }
        endSending()
        while true {
            let count = recv(descriptor, &piece, piece.count, 0)
            if count > 0 { heard += piece[..<count] }
            if count == 0 || errno == ECONNRESET && count < 0 { return heard }
            if count < 0, errno != EINTR { throw Errno(rawValue: errno) }
        }
    }
}
