import BlockIO
import Glibc

extension Snapshot {
    /// A discard of sectors of the snapshot, where the table asks for such: what the store holds of them reads as zeroes
    /// afterwards, or need not be kept, and what it does not hold stays as it is. Exceptions stay.
    ///
    /// The kernel looks at the length only and may touch the neighbour of a chunk; here every piece stays inside its own.
    func discard(_ request: BlockRequest, passdown: Bool) {
        guard isValid, !isOverflowed else { return request.end(EIO) }
        guard inFlight <= Self.mostInFlight else {
            return whenUncrowded { [self] in discard(request, passdown: passdown) }
        }
        request.parts += 1
        if passdown { discardOrigin(request) }
        discardStored(request, from: request.sector)
    }

    /// Goes on with a discard from a sector on: so many chunks at a time as may be on their way.
    private func discardStored(_ request: BlockRequest, from first: UInt64) {
        var sector = first
        while sector < request.range.end {
            if inFlight > Self.mostInFlight {
                let rest = sector
                return whenUncrowded { [self] in discardStored(request, from: rest) }
            }
            let chunk = sector >> chunkShift
            let end = min(request.range.end, (chunk + 1) << chunkShift)
            if let (new, _) = exceptions.lookup(chunk) {
                let place = new << chunkShift + sector & (chunkSectors - 1)
                discardStore(request, SectorRange(start: sector, count: end - sector), place, chunk)
            }
            sector = end
        }
        request.partEnded(0)
    }

    private func discardStore(_ request: BlockRequest, _ range: SectorRange, _ place: UInt64, _ chunk: UInt64) {
        let part = takePart()
        guard range.count == chunkSectors else {
            part.transfer.describe(.discard, sector: place, count: range.count)
            return start(.storeWrite, part, of: request, chunk..<chunk + 1)
        }
        inFlight += 1
        request.parts += 1
        storeWrites.begin(part.tracked, chunk..<chunk + 1)
        copier.zero(CopyDestination(cow, place), count: range.count) { [self] failed in
            let waiting = storeWrites.end(part.tracked)
            give(part)
            for done in waiting { done() }
            leaveFlight(1)
            request.partEnded(failed ? EIO : 0)
            checkDrained()
        }
    }

    /// The origin gives the sectors up as well. No snapshot keeps what was there: that is what the feature means.
    private func discardOrigin(_ request: BlockRequest) {
        let part = takePart()
        part.transfer.describe(.discard, sector: request.sector, count: request.count)
        start(.originRead, part, of: request, chunks(request.range))
    }
}
