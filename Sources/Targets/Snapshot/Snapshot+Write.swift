import BlockIO
import Glibc

extension Snapshot {
    /// Writes to the snapshot.
    func write(_ request: BlockRequest, from owner: any RequestSender) {
        guard inFlight <= Self.mostInFlight else {
            return whenUncrowded { [self] in write(request, from: owner) }
        }
        guard isValid, !isOverflowed else { return request.end(EIO) }
        guard makeRoom(for: request, from: owner) else { return }
        request.parts += 1
        var sector = request.sector
        while sector < request.range.end, isValid {
            sector = writeFrom(sector, request)
        }
        request.partEnded(sector < request.range.end ? EIO : 0)
    }

    /// Writes what can be written in one go from a sector on, and answers where to continue.
    private func writeFrom(_ sector: UInt64, _ request: BlockRequest) -> UInt64 {
        let end = request.range.end
        let chunk = sector >> chunkShift
        if let (new, length) = exceptions.lookup(chunk) {
            let next = min(end, (chunk + length) << chunkShift)
            guard unclear.isEmpty || !(chunk..<chunk + length).contains(where: unclear.contains) else {
                request.parts += 1
                request.partEnded(EIO)
                return next
            }
            let range = SectorRange(start: sector, count: next - sector)
            writeStore(request, range, to: new << chunkShift + sector & (chunkSectors - 1))
            return next
        }
        let chunkEnd = min(end, (chunk + 1) << chunkShift)
        if let run = pending[chunk] {
            run.followers.append(request.writePart(sector..<chunkEnd))
            return chunkEnd
        }
        let isWhole = sector == chunk << chunkShift && end - sector >= chunkSectors
        guard isWhole else {
            writePartOfChunk(request, SectorRange(start: sector, count: chunkEnd - sector), chunk)
            return chunkEnd
        }
        return writeWholeChunks(request, chunk)
    }

    /// Writes to chunks that the store holds.
    func writeStore(_ request: BlockRequest, _ range: SectorRange, to place: UInt64) {
        let part = takePart()
        part.transfer.describe(
            .write, sector: place, count: range.count, memory: request.memory(at: range.start), isFUA: request.isFUA)
        start(.storeWrite, part, of: request, chunks(range))
    }

    // MARK: First writes

    /// Whole chunks need no copy: the write itself fills them. Answers where to continue.
    private func writeWholeChunks(_ request: BlockRequest, _ chunk: UInt64) -> UInt64 {
        let whole = request.range.end >> chunkShift - chunk
        var count = exceptions.unmappedLength(from: chunk, limit: whole)
        if let taken = (chunk..<chunk + count).first(where: { pending[$0] != nil }) { count = taken - chunk }
        guard let (new, given) = allocate(count) else {
            overflow(bySnapshotWrite: true)
            request.parts += 1
            request.partEnded(EIO)
            return request.range.end
        }
        let run = begin(ExceptionRun(old: chunk, new: new, length: given))
        let range = SectorRange(start: chunk << chunkShift, count: given << chunkShift)
        request.parts += 1
        run.filler = request
        let transfer = DeviceIO { [unowned self] transfer in
            let error = transfer.errno
            filled(run, error == 0 ? nil : "\(cow.name): write: \(String(cString: strerror(error)))")
        }
        let memory = request.memory(at: range.start)
        transfer.describe(.write, sector: new << chunkShift, count: range.count, memory: memory)
        cow.start(transfer)
        return range.end
    }

    /// A part of a chunk: the rest is copied, and what is written is laid over it on the way.
    private func writePartOfChunk(_ request: BlockRequest, _ range: SectorRange, _ chunk: UInt64) {
        request.parts += 1
        guard let (new, given) = allocate(1) else {
            overflow(bySnapshotWrite: true)
            return request.partEnded(EIO)
        }
        let run = begin(ExceptionRun(old: chunk, new: new, length: given))
        run.filler = request
        let start = chunk << chunkShift
        guard let memory = request.memory(at: range.start) else { preconditionFailure("a write without data") }
        let overlay = OverlayStretch(
            sector: range.start - start, count: range.count, address: UnsafeRawPointer(memory.address))
        copier.copy(
            from: origin, sector: start, count: sectors(of: run.chunks), to: [CopyDestination(cow, new << chunkShift)],
            overlay: [overlay]
        ) { [self] readError, writeErrors in
            filled(run, Self.reason(readError, writeErrors != 0, self))
        }
    }

    /// What to say of a copy that has failed; nil where it has not.
    static func reason(_ readError: Bool, _ writeError: Bool, _ snapshot: Snapshot) -> String? {
        if readError { return "\(snapshot.origin.name): a chunk that was to be copied could not be read" }
        return writeError ? "\(snapshot.cow.name): a chunk could not be written to the store" : nil
    }
}

extension BlockRequest {
    /// A part of a write that goes a way of its own; the whole waits for its end.
    func writePart(_ sectors: Range<UInt64>) -> BlockRequest {
        parts += 1
        let part = BlockRequest { part in part.parent?.partEnded(part.errno) }
        part.describe(
            .write, sector: sectors.lowerBound, count: UInt64(sectors.count), memory: memory(at: sectors.lowerBound),
            isFUA: isFUA)
        part.parent = self
        return part
    }
}
