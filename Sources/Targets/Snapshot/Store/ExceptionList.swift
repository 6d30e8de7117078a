import BlockIO
import Glibc

/// The list of exceptions on a store, from slot 0 of area 0 on. It ends at the first entry whose new chunk is 0, or
/// behind a full area that has no room for a successor.
struct ExceptionList {
    /// Where a list ends.
    struct End: Hashable {
        /// The area.
        var area: UInt64
        /// Its used slots; E of them only where the next area does not fit into the store.
        var used: UInt64
        /// Bytes other than zero behind the end marker, anywhere in the area.
        var hasStaleTail: Bool
    }

    /// Takes entries that follow each other in one area, from a slot on; answers how many precede the end of the list.
    typealias Taker = (_ area: UInt64, _ slot: UInt64, _ bytes: UnsafeRawBufferPointer) throws(BlockError) -> Int

    /// Bytes that are read with one call.
    private static let mostAtOnce = 4 << 20
    /// Areas that are read with one call.
    private static let mostAreas = 256
    private static let alignment: UInt64 = 4096

    /// The device.
    let medium: any StoreMedium
    /// Where areas are.
    let geometry: StoreGeometry
    /// The size of the device in sectors; at least area 0 is inside.
    let sectors: UInt64

    /// Reads the list. Small areas are read several at a time, more with each call: a short list costs little, and a
    /// long one keeps the device busy.
    func walk(_ take: Taker) throws(BlockError) -> End {
        let areas = geometry.areas(in: sectors)
        precondition(areas > 0, "a list on a store without areas")
        if geometry.chunkBytes >= UInt64(Self.mostAtOnce) { return try walkPieces(areas, take) }
        let place = Int(max(geometry.chunkBytes, Self.alignment))
        let most = min(Self.mostAtOnce / place, Self.mostAreas)
        let buffer = StoreBuffer(byteCount: min(most, Int(min(areas, UInt64(most)))) * place)
        var first: UInt64 = 0
        var batch = 1
        while true {
            let count = Int(min(UInt64(batch), areas - first))
            try medium.read(
                (0..<count).map { index in
                    StoreStretch(
                        sector: geometry.areaSector(first + UInt64(index)),
                        memory: buffer.part(index * place, Int(geometry.chunkBytes)))
                })
            for index in 0..<count {
                let bytes = UnsafeRawBufferPointer(buffer.part(index * place, Int(geometry.chunkBytes)))
                let used = try take(first + UInt64(index), 0, bytes)
                if UInt64(used) < geometry.exceptionsPerArea {
                    return End(
                        area: first + UInt64(index), used: UInt64(used), hasStaleTail: Self.isStale(bytes, behind: used)
                    )
                }
            }
            first += UInt64(count)
            if first == areas { return End(area: areas - 1, used: geometry.exceptionsPerArea, hasStaleTail: false) }
            batch = min(batch * 2, most)
        }
    }

    /// The same for areas that are read in pieces.
    private func walkPieces(_ areas: UInt64, _ take: Taker) throws(BlockError) -> End {
        let buffer = StoreBuffer(byteCount: Self.mostAtOnce)
        let bytes = UnsafeRawBufferPointer(buffer.bytes)
        let slotsAtOnce = Self.mostAtOnce / ExceptionEntry.size
        for area in 0..<areas {
            var end: End?
            for slot in stride(from: 0, to: geometry.exceptionsPerArea, by: slotsAtOnce) {
                try medium.read(geometry.areaSector(area) + slot / 32, into: buffer.bytes)
                if var known = end {
                    known.hasStaleTail = known.hasStaleTail || Self.isStale(bytes, behind: 0)
                    end = known
                    continue
                }
                let used = try take(area, slot, bytes)
                if used < slotsAtOnce {
                    end = End(area: area, used: slot + UInt64(used), hasStaleTail: Self.isStale(bytes, behind: used))
                }
            }
            if let end { return end }
        }
        return End(area: areas - 1, used: geometry.exceptionsPerArea, hasStaleTail: false)
    }

    /// Whether there is anything but zero from a slot on.
    private static func isStale(_ bytes: UnsafeRawBufferPointer, behind slot: Int) -> Bool {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[(slot * ExceptionEntry.size)...])
        guard let first = rest.first, let base = rest.baseAddress else { return false }
        // The first byte is zero, and each is like the one before it.
        return first != 0 || memcmp(base, base + 1, rest.count - 1) != 0
    }

    /// How many entries precede the first that ends the list.
    static func used(in bytes: UnsafeRawBufferPointer) -> Int {
        let slots = bytes.count / ExceptionEntry.size
        return (0..<slots).first { ExceptionEntry(decoding: bytes, slot: $0).new == 0 } ?? slots
    }

    /// Calls a body with every entry and its place.
    func forEach(
        _ body: (_ area: UInt64, _ slot: UInt64, _ entry: ExceptionEntry) throws(BlockError) -> Void
    ) throws(BlockError) -> End {
        try walk { (area, slot, bytes) throws(BlockError) in
            let used = Self.used(in: bytes)
            for index in 0..<used {
                try body(area, slot + UInt64(index), ExceptionEntry(decoding: bytes, slot: index))
            }
            return used
        }
    }
}
