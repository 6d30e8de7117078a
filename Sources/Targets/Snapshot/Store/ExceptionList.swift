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

    /// The device.
    let medium: any StoreMedium
    /// Where areas are.
    let geometry: StoreGeometry
    /// The size of the device in sectors; at least area 0 is inside.
    let sectors: UInt64

    /// Calls a body with every entry and its place.
    func forEach(
        _ body: (_ area: UInt64, _ slot: UInt64, _ entry: ExceptionEntry) throws(BlockError) -> Void
    ) throws(BlockError) {
        let reader = ListReader(self)
        while let stretches = try reader.next() {
            for stretch in stretches {
                for index in 0..<stretch.bytes.count / ExceptionEntry.size {
                    try body(
                        stretch.area, stretch.slot + UInt64(index), ExceptionEntry(decoding: stretch.bytes, slot: index)
                    )
                }
            }
        }
    }

    // MARK: What is in an area, or in a piece of one

    /// How many entries precede the first that ends the list.
    static func used(in bytes: UnsafeRawBufferPointer) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        let slots = bytes.count / ExceptionEntry.size
        var slot = 0
        while slot < slots, base.loadUnaligned(fromByteOffset: slot &* ExceptionEntry.size &+ 8, as: UInt64.self) != 0 {
            slot &+= 1
        }
        return slot
    }

    /// The first entries.
    static func head(_ bytes: UnsafeRawBufferPointer, _ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[..<(count * ExceptionEntry.size)])
    }

    /// Whether there is anything but zero from a slot on.
    static func isStale(_ bytes: UnsafeRawBufferPointer, behind slot: Int) -> Bool {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[(slot * ExceptionEntry.size)...])
        guard let first = rest.first, let base = rest.baseAddress else { return false }
        // The first byte is zero, and each is like the one before it.
        return first != 0 || memcmp(base, base + 1, rest.count - 1) != 0
    }
}
