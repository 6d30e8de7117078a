/// The header of a persistent exception store: the first 16 bytes of chunk 0, four little-endian numbers of 32 bits.
/// The rest of the chunk is zero. The layout is the kernel's (drivers/md/dm-snap-persistent.c, struct disk_header).
struct StoreHeader: Hashable, Sendable {
    /// "SnAp".
    static let magic: UInt32 = 0x7041_6E53
    /// The only version there is.
    static let version: UInt32 = 1
    /// Bytes that the fields occupy.
    static let size = 16

    /// Bytes 0...3: `Self.magic`; 0 in a store that was never used.
    var magic = Self.magic
    /// Bytes 4...7: 0 in a snapshot that has become invalid, 1 otherwise. Readers take anything but 0 for 1.
    var valid: UInt32 = 1
    /// Bytes 8...11: `Self.version`.
    var version = Self.version
    /// Bytes 12...15: the chunk size in sectors.
    var chunkSectors: UInt32

    /// The header of a store of ours.
    init(chunkSectors: UInt64, isValid: Bool = true) {
        self.chunkSectors = UInt32(truncatingIfNeeded: chunkSectors)
        valid = isValid ? 1 : 0
    }

    /// The header that begins at a place of any alignment.
    init(decoding bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count >= Self.size, "a header of \(bytes.count) bytes")
        func field(_ offset: Int) -> UInt32 {
            UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        }
        chunkSectors = field(12)
        magic = field(0)
        valid = field(4)
        version = field(8)
    }

    /// Writes the header to the beginning of a buffer, and zeroes over the rest of it.
    func encode(into bytes: UnsafeMutableRawBufferPointer) {
        precondition(bytes.count >= Self.size, "a header of \(bytes.count) bytes")
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
        for (index, field) in [magic, valid, version, chunkSectors].enumerated() {
            bytes.storeBytes(of: field.littleEndian, toByteOffset: index * 4, as: UInt32.self)
        }
    }
}

/// An entry of an area: 16 bytes, two little-endian numbers of 64 bits. The first entry whose new chunk is 0 ends the
/// list (chunk 0 is the header); old chunk 0 is a chunk like others.
struct ExceptionEntry: Hashable, Sendable {
    /// Bytes of an entry.
    static let size = 16
    /// What ends the list.
    static let end = ExceptionEntry(old: 0, new: 0)

    /// Bytes 0...7: chunk of the origin.
    var old: UInt64
    /// Bytes 8...15: chunk of the store.
    var new: UInt64

    /// A pair of chunks.
    init(old: UInt64, new: UInt64) {
        self.old = old
        self.new = new
    }

    /// Entry `slot` of an area, or of a piece of one, that begins at a place of any alignment.
    init(decoding area: UnsafeRawBufferPointer, slot: Int) {
        let offset = slot * Self.size
        old = UInt64(littleEndian: area.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        new = UInt64(littleEndian: area.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self))
    }

    /// Writes the entry as number `slot` of an area, or of a piece of one.
    func encode(into area: UnsafeMutableRawBufferPointer, slot: Int) {
        let offset = slot * Self.size
        area.storeBytes(of: old.littleEndian, toByteOffset: offset, as: UInt64.self)
        area.storeBytes(of: new.littleEndian, toByteOffset: offset + 8, as: UInt64.self)
    }

    /// Calls a body with every pair of chunks in a piece of an area.
    @inline(__always)
    static func forEach(in bytes: UnsafeRawBufferPointer, _ body: (_ old: UInt64, _ new: UInt64) -> Void) {
        guard var place = bytes.baseAddress else { return }
        let end = place + bytes.count / size * size
        while place < end {
            body(
                UInt64(littleEndian: place.loadUnaligned(as: UInt64.self)),
                UInt64(littleEndian: place.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
            place += size
        }
    }
}
