import BlockIO
import Glibc

extension Snapshot {
    /// Reads of the snapshot: what is mapped from the store, the rest from the origin.
    func read(_ request: BlockRequest) {
        guard isValid else { return request.end(EIO) }
        // One part that stands for the loop itself: the request cannot end while others are being started.
        request.parts += 1
        var sector = request.sector
        let end = request.range.end
        while sector < end {
            let chunk = sector >> chunkShift
            let limit = (end - chunk << chunkShift + chunkSectors - 1) >> chunkShift
            if let (new, length) = exceptions.lookup(chunk) {
                let next = min(end, (chunk + length) << chunkShift)
                let place = new << chunkShift + sector & (chunkSectors - 1)
                readStore(request, SectorRange(start: sector, count: next - sector), from: place)
                sector = next
            } else {
                let length = exceptions.unmappedLength(from: chunk, limit: limit)
                let next = min(end, (chunk + length) << chunkShift)
                readOrigin(request, SectorRange(start: sector, count: next - sector), chunk..<chunk + length)
                sector = next
            }
        }
        request.partEnded(0)
    }

    private func readStore(_ request: BlockRequest, _ range: SectorRange, from place: UInt64) {
        let part = takePart()
        part.transfer.describe(.read, sector: place, count: range.count, memory: request.memory(at: range.start))
        start(.storeRead, part, of: request, 0..<0)
    }

    /// Reads from the origin what is not mapped. As long as it is under way, a write to the origin waits for it even where
    /// the chunk has become an exception meanwhile.
    private func readOrigin(_ request: BlockRequest, _ range: SectorRange, _ chunks: Range<UInt64>) {
        let part = takePart()
        part.transfer.describe(
            .read, sector: range.start, count: range.count, memory: request.memory(at: range.start))
        start(.originRead, part, of: request, chunks)
    }
}
