import BlockIO

extension Snapshot {
    /// What is known of a range without reading it. What still comes from the origin is data, whatever the origin holds.
    func allocation(in range: SectorRange, limit: Int) -> [Allocation] {
        var found: [Allocation] = []
        var sector = range.start
        while sector < range.end, found.count < limit {
            let chunk = sector >> chunkShift
            if let (new, length) = exceptions.lookup(chunk) {
                let next = min(range.end, (chunk + length) << chunkShift)
                let place = new << chunkShift + sector & (chunkSectors - 1)
                let stored = SectorRange(start: place, count: next - sector)
                let left = limit - found.count
                for stretch in cow.stretches(in: stored, alignment: cow.logicalBlockSectors, limit: left) {
                    let end = stretch.end - place + sector
                    found.append(Allocation(end: end, isHole: stretch.isHole, isZero: stretch.isHole))
                }
                guard let last = found.last, last.end > sector else { break }
                sector = last.end
            } else {
                let rest = (range.end - chunk << chunkShift + chunkSectors - 1) >> chunkShift
                let length = exceptions.unmappedLength(from: chunk, limit: rest)
                sector = min(range.end, (chunk + length) << chunkShift)
                found.append(Allocation(end: sector, isHole: false, isZero: false))
            }
        }
        return found
    }
}
