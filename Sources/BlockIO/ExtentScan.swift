import CLinux
import Glibc
import SystemPackage

extension BlockDevice {
    /// A stretch that is all data or all hole, by its end in sectors.
    public struct Stretch: Hashable, Sendable {
        /// The sector after its last.
        public var end: UInt64
        /// Whether it reads as zeroes without being stored.
        public var isHole: Bool

        /// A stretch that ends before `end`.
        public init(end: UInt64, isHole: Bool) {
            self.end = end
            self.isHole = isHole
        }
    }

    /// Where data and holes are from a sector on, as lseek(2) with SEEK_DATA and SEEK_HOLE tells it: file systems
    /// do, block drivers seldom do. Where nothing is told everything is data. Holes are made smaller, never larger, so
    /// that they fall on `alignment`, and every call gets ahead.
    ///
    /// - Parameters:
    ///   - range: where to look, in sectors.
    ///   - alignment: what ends fall on, in sectors.
    ///   - limit: how many stretches to answer at most; the last one may end before the range does.
    public func stretches(in range: SectorRange, alignment: UInt64, limit: Int) -> [Stretch] {
        var found: [Stretch] = []
        var position = range.start
        while position < range.end, found.count < limit {
            guard let next = stretch(at: position, range, alignment) else {
                found.append(Stretch(end: range.end, isHole: false))
                break
            }
            if let last = found.last, last.isHole == next.isHole { found.removeLast() }
            found.append(next)
            position = next.end
        }
        return found
    }

    /// The stretch that begins at a sector; nil where the device does not tell.
    private func stretch(at position: UInt64, _ range: SectorRange, _ alignment: UInt64) -> Stretch? {
        switch seek(clinux_seek_data, position) {
        case .nothing:
            // What a source has lost since it was opened is no hole: reading it has to fail.
            return Stretch(end: range.end, isHole: isStillThere(range))
        case .unknown:
            return nil
        case .at(let data):
            let start = range.start + (max(data, range.start) - range.start) / alignment * alignment
            if start > position { return Stretch(end: min(start, range.end), isHole: true) }
        }
        guard case .at(let hole) = seek(clinux_seek_hole, position) else {
            return Stretch(end: range.end, isHole: false)
        }
        // Some file systems are programs (FUSE), and may answer anything.
        let end = range.start + (max(hole, position) - range.start + alignment - 1) / alignment * alignment
        return Stretch(end: min(max(end, position + alignment), range.end), isHole: false)
    }

    /// Whether a range still ends inside the device.
    private func isStillThere(_ range: SectorRange) -> Bool {
        let size = lseek(descriptor.rawValue, 0, SEEK_END)
        return size >= 0 && UInt64(size) >> UInt64(Sector.shift) >= range.end
    }

    private enum Answer {
        case at(UInt64)
        /// No data behind this point (ENXIO).
        case nothing
        case unknown
    }

    /// A data stretch begins in the sector that its first byte is in, a hole in the first sector that is all hole.
    private func seek(_ whence: Int32, _ sector: UInt64) -> Answer {
        let answer = lseek(descriptor.rawValue, off_t(sector << UInt64(Sector.shift)), whence)
        if answer < 0 { return errno == ENXIO ? .nothing : .unknown }
        let bytes = UInt64(answer)
        return .at((whence == clinux_seek_hole ? bytes + UInt64(Sector.size) - 1 : bytes) >> UInt64(Sector.shift))
    }
}
