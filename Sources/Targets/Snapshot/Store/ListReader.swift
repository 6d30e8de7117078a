import BlockIO
import Glibc

/// Reads a list of exceptions in rounds, from its beginning to its end: several areas with one call, or a piece of a
/// large area. Each round reads more than the one before: a short list costs little, and a long one keeps the device
/// busy. What a round has read stays where it is while the next one is read, which another thread may do.
final class ListReader {
    /// Entries in use that follow each other in one area.
    struct Stretch {
        var area: UInt64
        /// The slot of the first one.
        var slot: UInt64
        var bytes: UnsafeRawBufferPointer
    }

    /// Bytes that are read with one call.
    private static let mostAtOnce = 2 << 20
    /// Areas that are read with one call.
    private static let mostAreas = 256
    private static let alignment: UInt64 = 4096

    private let list: ExceptionList
    private let areas: UInt64
    private let buffers: [ReadBuffer]
    private var round = 0
    /// What is read next: an area, or a piece of one from a slot on.
    private var area: UInt64 = 0
    private var slot: UInt64 = 0
    /// Areas of the next round.
    private var batch: UInt64 = 1
    /// Where the list ends, as soon as that has been read.
    private(set) var end: ExceptionList.End?

    init(_ list: ExceptionList) {
        self.list = list
        areas = list.geometry.areas(in: list.sectors)
        precondition(areas > 0, "a list on a store without areas")
        buffers = [ReadBuffer(), ReadBuffer()]
    }

    /// The next round's entries, at least one stretch of them; nil behind the end of the list, which is known then. The
    /// memory is used again by the round after the next.
    func next() throws(BlockError) -> [Stretch]? {
        if end != nil { return nil }
        round += 1
        let stretches =
            list.geometry.chunkBytes >= Self.mostAtOnce
            ? try readPiece(buffers[round % 2]) : try readAreas(buffers[round % 2])
        return stretches.isEmpty ? nil : stretches
    }

    private func readAreas(_ buffer: ReadBuffer) throws(BlockError) -> [Stretch] {
        let geometry = list.geometry
        let bytes = Int(geometry.chunkBytes)
        let place = Int(max(geometry.chunkBytes, Self.alignment))
        let most = UInt64(min(Self.mostAtOnce / place, Self.mostAreas))
        let count = Int(min(batch, most, areas - area))
        let memory = buffer.memory(count * place, most: Int(min(areas, most)) * place)
        try list.medium.read(
            (0..<count).map { index in
                StoreStretch(
                    sector: geometry.areaSector(area + UInt64(index)),
                    memory: UnsafeMutableRawBufferPointer(rebasing: memory[index * place..<index * place + bytes]))
            })
        var stretches: [Stretch] = []
        stretches.reserveCapacity(count)
        for index in 0..<count where end == nil {
            let all = UnsafeRawBufferPointer(rebasing: memory[index * place..<index * place + bytes])
            let used = ExceptionList.used(in: all)
            if used > 0 { stretches.append(Stretch(area: area, slot: 0, bytes: ExceptionList.head(all, used))) }
            if UInt64(used) < geometry.exceptionsPerArea {
                let isStale = ExceptionList.isStale(all, behind: used)
                end = ExceptionList.End(area: area, used: UInt64(used), hasStaleTail: isStale)
            } else {
                area += 1
            }
        }
        batch = min(batch * 2, most)
        if end == nil { endBehindLastArea() }
        return stretches
    }

    /// A piece of an area that is too large to be read at once; where the list ends in it, the rest of the area is
    /// looked through as well.
    private func readPiece(_ buffer: ReadBuffer) throws(BlockError) -> [Stretch] {
        let memory = buffer.memory(Self.mostAtOnce, most: Self.mostAtOnce)
        let all = UnsafeRawBufferPointer(memory)
        try list.medium.read(list.geometry.areaSector(area) + slot / 32, into: memory)
        let used = ExceptionList.used(in: all)
        let stretch = Stretch(area: area, slot: slot, bytes: ExceptionList.head(all, used))
        let slots = UInt64(Self.mostAtOnce / ExceptionEntry.size)
        if UInt64(used) < slots {
            var isStale = ExceptionList.isStale(all, behind: used)
            if !isStale { isStale = try isRestStale(behind: slot + slots) }
            end = ExceptionList.End(area: area, used: slot + UInt64(used), hasStaleTail: isStale)
        } else {
            slot += slots
            if slot == list.geometry.exceptionsPerArea {
                slot = 0
                area += 1
                endBehindLastArea()
            }
        }
        return used > 0 ? [stretch] : []
    }

    /// Whether there is anything but zero in the pieces of the area from a slot on.
    private func isRestStale(behind slot: UInt64) throws(BlockError) -> Bool {
        let buffer = StoreBuffer(byteCount: Self.mostAtOnce)
        let step = UInt64(Self.mostAtOnce / ExceptionEntry.size)
        var next = slot
        var isStale = false
        while next < list.geometry.exceptionsPerArea, !isStale {
            try list.medium.read(list.geometry.areaSector(area) + next / 32, into: buffer.bytes)
            isStale = ExceptionList.isStale(UnsafeRawBufferPointer(buffer.bytes), behind: 0)
            next += step
        }
        return isStale
    }

    private func endBehindLastArea() {
        guard area == areas else { return }
        end = ExceptionList.End(area: areas - 1, used: list.geometry.exceptionsPerArea, hasStaleTail: false)
    }
}

/// Memory that a round is read into; it grows with the rounds, up to what the largest one needs.
private final class ReadBuffer {
    private var bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    deinit { bytes.deallocate() }

    func memory(_ count: Int, most: Int) -> UnsafeMutableRawBufferPointer {
        if bytes.count < count {
            bytes.deallocate()
            // Once it grows it gets what it can need: no more than twice is allocated.
            let isFirst = bytes.count == 0
            let length = isFirst ? count : most
            bytes = .allocate(byteCount: length, alignment: length >= HugePage.size ? HugePage.size : 4096)
            // Only advice: without huge pages it is slower.
            if length >= HugePage.size { madvise(bytes.baseAddress, length, MADV_HUGEPAGE) }
        }
        return UnsafeMutableRawBufferPointer(rebasing: bytes[..<count])
    }
}

/// The large pages of the kernel.
enum HugePage {
    /// Their size in bytes.
    static let size = 2 << 20
}
