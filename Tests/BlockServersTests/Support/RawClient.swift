import Glibc
import SystemPackage
import UnixSockets

@testable import BlockServers

/// A client that can say anything. Its calls block, for half a minute at most.
final class RawClient {
    /// A reply to a request, simple or one chunk.
    struct Reply: Equatable {
        var cookie: UInt64
        var error: UInt32 = 0
        /// The type of a chunk; nil for a simple reply.
        var chunk: UInt16?
        /// The data of a read; what a chunk carries besides offset and error.
        var data: [UInt8] = []
        var offset: UInt64?
    }

    enum Failure: Error { case ended, nonsense }

    let descriptor: Int32
    /// How much data simple replies to reads bring.
    private var reads: [UInt64: Int] = [:]

    init(path: String) throws {
        descriptor = try SocketCalls.makeSocket(nonblocking: false)
        var time = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        try SocketCalls.connect(descriptor, to: FilePath(path))
    }

    /// A client that may send requests.
    convenience init(path: String, isStructured: Bool, hasAllocation: Bool = false) throws {
        try self.init(path: path)
        try negotiate(isStructured: isStructured, hasAllocation: hasAllocation)
    }

    deinit { SocketCalls.close(descriptor) }

    // MARK: Bytes

    func send(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            done += try SocketCalls.checkCount {
                bytes[done...].withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            }
        }
    }

    func receive(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let some = try SocketCalls.checkCount {
                bytes.withUnsafeMutableBytes { buffer in
                    let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
                    return recv(descriptor, rest.baseAddress, rest.count, 0)
                }
            }
            if some == 0 { throw Failure.ended }
            done += some
        }
        return bytes
    }

    func number<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type = Number.self) throws -> Number {
        var cursor = ByteCursor(try receive(MemoryLayout<Number>.size))
        guard let number = cursor.number(type) else { throw Failure.nonsense }
        return number
    }

    /// Whether nothing more comes; waits for that.
    func isAtEnd() -> Bool {
        do {
            _ = try receive(1)
            return false
        } catch {
            return error as? Failure == .ended || error as? Errno == .connectionReset
        }
    }

    func hangUp() { SocketCalls.shutdown(descriptor) }

    /// Says that nothing more will be sent.
    func endSending() { Glibc.shutdown(descriptor, Int32(SHUT_WR)) }

    // MARK: Messages

    func optionReply() throws -> OptionReply {
        guard try number(UInt64.self) == NBDMagic.optionReply else { throw Failure.nonsense }
        var reply = OptionReply(.abort, .ack)
        reply.option = try number()
        reply.type = try number()
        reply.data = try receive(Int(number(UInt32.self)))
        return reply
    }

    func negotiate(isStructured: Bool, hasAllocation: Bool) throws {
        _ = try receive(18)
        var bytes = Wire.number(3)
        if isStructured { bytes += Wire.option(.structuredReply) }
        if hasAllocation { bytes += Wire.option(.setMetaContext, Wire.queries("", ["base:allocation"])) }
        try send(bytes + Wire.option(.go, Wire.information("")))
        while true {
            let reply = try optionReply()
            guard reply.type & 1 << 31 == 0 else { throw Failure.nonsense }
            if reply.option == NBDOption.go.rawValue, reply.type == NBDOptionReply.ack.rawValue { break }
        }
    }

    func request(
        _ command: NBDCommand, flags: UInt16 = 0, cookie: UInt64 = 1, offset: UInt64 = 0, length: Int = 0,
        data: [UInt8] = []
    ) throws {
        if command == .read { reads[cookie] = length }
        let length = UInt32(data.isEmpty ? length : data.count)
        let header = Wire.request(command.rawValue, flags: flags, cookie: cookie, offset: offset, length: length)
        try send(header + data)
    }

    func reply() throws -> Reply {
        switch try number(UInt32.self) {
        case NBDMagic.simpleReply: try simpleReply()
        case NBDMagic.structuredReply: try chunk()
        default: throw Failure.nonsense
        }
    }

    private func simpleReply() throws -> Reply {
        let error: UInt32 = try number()
        var reply = Reply(cookie: try number(), error: error)
        let length = reads.removeValue(forKey: reply.cookie) ?? 0
        if error == 0 { reply.data = try receive(length) }
        return reply
    }

    private func chunk() throws -> Reply {
        // This server answers with one chunk, which is the last.
        guard try number(UInt16.self) == 1 else { throw Failure.nonsense }
        let type: UInt16 = try number()
        var reply = Reply(cookie: try number(), chunk: type)
        var payload = ByteCursor(try receive(Int(number(UInt32.self))))
        reads[reply.cookie] = nil
        switch NBDChunk(rawValue: type) {
        case .offsetData: reply.offset = payload.number()
        case .error:
            guard let error = payload.number(UInt32.self), payload.number(UInt16.self) == 0 else {
                throw Failure.nonsense
            }
            reply.error = error
        case .blockStatus:
            guard payload.number(UInt32.self) == NBDHandshake.allocationID else { throw Failure.nonsense }
        case .some(.none), nil: break
        }
        reply.data = payload.takeAll()
        return reply
    }

    /// One request and the reply to it.
    func ask(
        _ command: NBDCommand, flags: UInt16 = 0, offset: UInt64 = 0, length: Int = 0, data: [UInt8] = []
    ) throws -> Reply {
        try request(command, flags: flags, cookie: 42, offset: offset, length: length, data: data)
        let reply = try reply()
        guard reply.cookie == 42 else { throw Failure.nonsense }
        return reply
    }
}
