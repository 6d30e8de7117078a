import BlockIO

/// One request of a client, from its header to the last byte of its reply, as an object that its connection uses again.
final class NBDRequest {
    /// Room for the longest header of a reply: that of a chunk and an offset.
    private static let headerRoom = 32

    /// The connection, which holds its requests and outlives all that are under way.
    private unowned(unsafe) let connection: NBDConnection
    /// What the device is asked.
    let block = BlockRequest { _ in }

    /// The client's name for it, as it came.
    var cookie: UInt64 = 0
    /// What is asked; nil for what this server does not know.
    var command: NBDCommand?
    var flags: NBDCommandFlags = []
    /// Position and length in bytes.
    var offset: UInt64 = 0
    var length = 0
    /// What it fails with, where that is known before the device is asked.
    var refusal: Int32 = 0
    /// Memory for its data, and how much of the connection's share it is.
    var buffer: RequestMemory.Buffer?
    var share = 0
    /// Whether a flush is to follow what the device is asked, which cannot be durable by itself.
    var needsFlush = false

    /// What is sent: a header, and a payload where there is one.
    let header = UnsafeMutableRawPointer.allocate(byteCount: NBDRequest.headerRoom, alignment: 8)
    var headerLength = 0
    var payload: UnsafeMutableRawPointer?
    var payloadLength = 0
    /// The next of a list.
    fileprivate(set) unowned(unsafe) var next: NBDRequest?

    init(connection: NBDConnection) {
        self.connection = connection
        block.ended = { [unowned(unsafe) self] in self.ended($0.errno) }
    }

    deinit { header.deallocate() }

    private func ended(_ errno: Int32) {
        if needsFlush, errno == 0 {
            needsFlush = false
            block.describe(.flush)
            connection.device.handle(block)
        } else {
            connection.deviceEnded(self, errno)
        }
    }
}

/// Requests in a row. It holds none of them: their connection does.
struct NBDRequestList {
    private(set) unowned(unsafe) var first: NBDRequest?
    private unowned(unsafe) var last: NBDRequest?

    mutating func append(_ request: NBDRequest) {
        if let last { last.next = request } else { first = request }
        last = request
    }

    mutating func popFirst() -> NBDRequest? {
        guard let request = first else { return nil }
        first = request.next
        if first == nil { last = nil }
        request.next = nil
        return request
    }
}
