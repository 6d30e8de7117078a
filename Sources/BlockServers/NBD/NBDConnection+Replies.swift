import BlockIO
import Glibc

/// How far sending has got.
enum SendOutcome {
    case done
    /// The client has to fetch something first.
    case blocked
    /// The client has gone.
    case failed
}

extension NBDConnection {
    /// Extents in one reply, so that it fits into the memory that is taken for it.
    private static let mostExtents = 2000
    private static let extentMemory = 16 << 10

    // MARK: Building

    /// Puts a reply in line. The payload of one that succeeds is in its place.
    func answer(_ request: NBDRequest, _ errno: Int32) {
        if isDead {
            recycle(request)
            return scheduleFlush()
        }
        let isRead = request.command == .read
        request.payloadLength = isRead && errno == 0 ? request.length : request.payloadLength
        if !session.isStructured || !isRead && request.command != .blockStatus {
            simple(request, errno)
        } else if errno != 0 {
            failed(request, errno)
        } else if isRead, request.length > 0 {
            chunk(request, .offsetData, length: 8 + request.length)
            request.header.storeBigEndian(request.offset, at: NBDSize.chunk)
            request.headerLength = NBDSize.chunk + 8
        } else {
            chunk(request, isRead ? .none : .blockStatus, length: request.payloadLength)
        }
        replies.append(request)
        scheduleFlush()
    }

    private func simple(_ request: NBDRequest, _ errno: Int32) {
        request.header.storeBigEndian(NBDMagic.simpleReply, at: 0)
        request.header.storeBigEndian(NBDError.number(errno), at: 4)
        request.header.storeBytes(of: request.cookie, toByteOffset: 8, as: UInt64.self)
        request.headerLength = NBDSize.simpleReply
    }

    private func failed(_ request: NBDRequest, _ errno: Int32) {
        request.payloadLength = 0
        // An error number and a message of no length.
        chunk(request, .error, length: 6)
        request.header.storeBigEndian(NBDError.number(errno), at: NBDSize.chunk)
        request.header.storeBigEndian(UInt16(0), at: NBDSize.chunk + 4)
        request.headerLength = NBDSize.chunk + 6
    }

    /// The one chunk of a structured reply: everything is known before it is sent.
    private func chunk(_ request: NBDRequest, _ type: NBDChunk, length: Int) {
        request.header.storeBigEndian(NBDMagic.structuredReply, at: 0)
        request.header.storeBigEndian(UInt16(1), at: 4)  // DONE
        request.header.storeBigEndian(type.rawValue, at: 6)
        request.header.storeBytes(of: request.cookie, toByteOffset: 8, as: UInt64.self)
        request.header.storeBigEndian(UInt32(length), at: 16)
        request.headerLength = NBDSize.chunk
    }

    /// Answers with what the device knows of a range: as many extents as fit, one where one is enough.
    func tellAllocation(_ request: NBDRequest, _ range: SectorRange) {
        guard let buffer = memory.take(bytes: Self.extentMemory) else { return answer(request, ENOMEM) }
        request.buffer = buffer
        let address = buffer.slice.address
        address.storeBigEndian(NBDHandshake.allocationID, at: 0)
        let limit = request.flags.contains(.requestOne) ? 1 : Self.mostExtents
        var position = range.start
        var last: UInt32?
        var length = 4
        for stretch in device.allocation(in: range, limit: limit) where stretch.end > position {
            let count = (min(stretch.end, range.end) - position) << UInt64(Sector.shift)
            let flags = Self.flags(of: stretch)
            if flags == last {
                let sum = address.assumingMemoryBound(to: UInt8.self) + (length - 8)
                let former: UInt32 = UnsafeRawPointer(sum).bigEndian(at: 0)
                address.storeBigEndian(former + UInt32(count), at: length - 8)
            } else {
                guard length < 4 + limit * 8 else { break }
                address.storeBigEndian(UInt32(count), at: length)
                address.storeBigEndian(flags, at: length + 4)
                length += 8
            }
            last = flags
            position = min(stretch.end, range.end)
            if position == range.end { break }
        }
        if length == 4 { return answer(request, EIO) }
        request.payload = address
        request.payloadLength = length
        answer(request, 0)
    }

    private static func flags(of stretch: Allocation) -> UInt32 {
        var flags: NBDAllocationFlags = []
        if stretch.isHole { flags.insert(.hole) }
        if stretch.isZero { flags.insert(.zero) }
        return flags.rawValue
    }

    // MARK: Sending

    /// Sends what is in line until that is all or the socket is full.
    func send() -> SendOutcome {
        let flags = Int32(MSG_DONTWAIT | MSG_NOSIGNAL)
        while true {
            let result: Int
            let isGreeting = !greeting.isEmpty
            if isGreeting {
                result = greeting.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, flags) }
            } else {
                let count = gather()
                if count == 0 { return .done }
                var message = msghdr()
                message.msg_iov = vectors
                message.msg_iovlen = count
                result = sendmsg(descriptor, &message, flags)
            }
            if result < 0 {
                switch errno {
                case EINTR: continue
                case EAGAIN: return .blocked
                default: return .failed
                }
            }
            if isGreeting { greeting.removeFirst(result) } else { sent(result) }
        }
    }

    /// Points the vectors at what is to be sent next; how many they are.
    private func gather() -> Int {
        var skip = sentBytes
        var count = 0
        var next = replies.first
        while let request = next, count + 2 <= Self.mostVectors {
            add(request.header, request.headerLength, &count, &skip)
            if let payload = request.payload { add(payload, request.payloadLength, &count, &skip) }
            next = request.next
        }
        return count
    }

    private func add(_ address: UnsafeMutableRawPointer, _ length: Int, _ count: inout Int, _ skip: inout Int) {
        let hidden = min(skip, length)
        skip -= hidden
        if hidden == length { return }
        vectors[count] = iovec(iov_base: address + hidden, iov_len: length - hidden)
        count += 1
    }

    private func sent(_ bytes: Int) {
        sentBytes += bytes
        while let request = replies.first, sentBytes >= request.headerLength + request.payloadLength {
            sentBytes -= request.headerLength + request.payloadLength
            _ = replies.popFirst()
            recycle(request)
        }
    }
}
