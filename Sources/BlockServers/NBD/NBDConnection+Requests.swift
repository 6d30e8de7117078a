import BlockIO
import Glibc

// What a client asks, from the bytes of a request to the call of the device. Whatever is wrong with a request is answered
// with an error, and the connection goes on; only bytes that are no request end it, because nobody can tell where the next
// one begins.
//
// Reads may begin and end anywhere, which costs no more than reading the blocks around them. Everything else has to keep to
// the device's blocks (EINVAL): a client that was not told of them asks in pieces of 512 bytes at least, as disks do.

extension NBDConnection {
    func parseRequests() {
        while isReading, !isStalled {
            if refused != nil {
                guard dropPayload() else { break }
                continue
            }
            guard tail - head >= NBDSize.request else { break }
            let header = UnsafeRawPointer(staging + head)
            guard header.bigEndian(at: 0, as: UInt32.self) == NBDMagic.request else { return stopReading() }
            let command = NBDCommand(rawValue: header.bigEndian(at: 6))
            let length = Int(header.bigEndian(at: 24, as: UInt32.self))
            if command == .disconnect { return stopReading() }
            let share = command == .read || command == .write ? min(length, NBDSize.mostPayload) : 0
            guard mayBegin(share) else {
                isStalled = true
                break
            }
            head += NBDSize.request
            let request = begin(share)
            request.command = command
            request.flags = NBDCommandFlags(rawValue: header.bigEndian(at: 4))
            request.cookie = header.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
            request.offset = header.bigEndian(at: 16)
            request.length = length
            request.refusal = refusal(of: request)
            if command == .write { takePayload(request) } else { submit(request) }
        }
    }

    private func mayBegin(_ bytes: Int) -> Bool {
        inFlight == 0 || inFlight < limits.requests && inFlightBytes + bytes <= limits.requestBytes
    }

    // MARK: Payloads

    /// Takes as much of a write's payload as has come.
    private func takePayload(_ request: NBDRequest) {
        if request.refusal == 0, request.length > 0 {
            request.buffer = memory.take(bytes: request.length)
            if request.buffer == nil { request.refusal = ENOMEM }
        }
        guard let buffer = request.buffer else {
            // What is too large by far is not worth waiting for.
            guard request.length <= NBDSize.mostPayload * 2 else {
                recycle(request)
                return stopReading()
            }
            refused = request
            refusedBytes = request.length
            return
        }
        let count = min(request.length, tail - head)
        buffer.slice.address.copyMemory(from: staging + head, byteCount: count)
        head += count
        if count == request.length { return submit(request) }
        incoming = request
        incomingBytes = count
        // What comes next goes to the payload first, and nothing else has come before it.
        head = 0
        tail = 0
    }

    /// Drops what has come of a payload that nobody wants; true when all of it has.
    private func dropPayload() -> Bool {
        let count = min(refusedBytes, tail - head)
        head += count
        refusedBytes -= count
        guard refusedBytes == 0, let request = refused else {
            head = 0
            tail = 0
            return false
        }
        refused = nil
        submit(request)
        return true
    }

    // MARK: Rules

    /// Why a request cannot be carried out; 0 where it can.
    private func refusal(of request: NBDRequest) -> Int32 {
        guard let command = request.command else { return EINVAL }
        guard request.flags.isSubset(of: command.allowedFlags) else { return EINVAL }
        if isClosing { return ESHUTDOWN }
        switch command {
        case .flush: return request.offset == 0 && request.length == 0 ? 0 : EINVAL
        case .read: return request.length > NBDSize.mostPayload ? EINVAL : rangeRefusal(request, outside: EINVAL)
        case .cache, .disconnect: return rangeRefusal(request, outside: EINVAL)
        case .write, .trim, .writeZeroes: return writeRefusal(request, command)
        case .blockStatus:
            guard session.hasAllocation, request.length > 0, isAligned(request) else { return EINVAL }
            return rangeRefusal(request, outside: EINVAL)
        }
    }

    private func writeRefusal(_ request: NBDRequest, _ command: NBDCommand) -> Int32 {
        if device.isReadOnly { return EPERM }
        if command == .trim, !device.canDiscard { return EINVAL }
        if command == .write, request.length > NBDSize.mostPayload { return EINVAL }
        let range = rangeRefusal(request, outside: command == .trim ? EINVAL : ENOSPC)
        if range != 0 { return range }
        if !isAligned(request) { return EINVAL }
        return request.flags.contains(.fastZero) && !device.canWriteZeroesFast ? EOPNOTSUPP : 0
    }

    private func rangeRefusal(_ request: NBDRequest, outside: Int32) -> Int32 {
        let (end, overflow) = request.offset.addingReportingOverflow(UInt64(request.length))
        return overflow || end > device.sectors << UInt64(Sector.shift) ? outside : 0
    }

    private func isAligned(_ request: NBDRequest) -> Bool {
        let mask = device.logicalBlockSectors << UInt64(Sector.shift) - 1
        return (request.offset | UInt64(request.length)) & mask == 0
    }

    // MARK: Carrying out

    /// Has the device do what is asked, or answers.
    func submit(_ request: NBDRequest) {
        guard request.refusal == 0, let command = request.command else { return answer(request, request.refusal) }
        if request.length == 0, command != .flush { return answer(request, 0) }
        let sector = request.offset >> UInt64(Sector.shift)
        let count = UInt64(request.length) >> UInt64(Sector.shift)
        switch command {
        case .read: return read(request)
        case .write:
            let isFUA = request.flags.contains(.fua)
            request.block.describe(
                .write, sector: sector, count: count, memory: request.buffer?.slice, isFUA: isFUA)
        case .flush: request.block.describe(.flush)
        case .trim: request.block.describe(.discard, sector: sector, count: count)
        case .writeZeroes:
            request.block.describe(.writeZeroes, sector: sector, count: count)
            request.block.mayUnmap = !request.flags.contains(.noHole)
        case .blockStatus: return tellAllocation(request, SectorRange(start: sector, count: count))
        case .cache, .disconnect: return answer(request, 0)
        }
        request.needsFlush = request.flags.contains(.fua) && (command == .trim || command == .writeZeroes)
        hand(request)
    }

    private func hand(_ request: NBDRequest) {
        withDevice += 1
        device.handle(request.block)
    }

    private func read(_ request: NBDRequest) {
        let block = device.logicalBlockSectors
        let bytes = UInt64(Sector.size)
        let start = request.offset / bytes / block * block
        let end = (request.offset + UInt64(request.length) + bytes - 1) / bytes
        let count = min((end + block - 1) / block * block, device.sectors) - start
        guard let buffer = memory.take(bytes: Int(count) << Sector.shift) else { return answer(request, ENOMEM) }
        request.buffer = buffer
        request.payload = buffer.slice.address + Int(request.offset - start << UInt64(Sector.shift))
        request.block.describe(.read, sector: start, count: count, memory: buffer.slice)
        hand(request)
    }

    /// The device has given a request back.
    func deviceEnded(_ request: NBDRequest, _ errno: Int32) {
        withDevice -= 1
        // A hint that was not taken is no failure.
        answer(request, request.command == .trim && errno == EOPNOTSUPP ? 0 : errno)
    }
}
