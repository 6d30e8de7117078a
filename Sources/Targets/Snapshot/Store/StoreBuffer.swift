import BlockIO

/// Memory for transfers of a store: aligned to 4096 bytes, zeroed at first.
struct StoreBuffer: ~Copyable {
    /// The memory.
    let bytes: UnsafeMutableRawBufferPointer

    /// Memory for so many bytes, 1 or more.
    init(byteCount: Int) {
        bytes = .allocate(byteCount: byteCount, alignment: 4096)
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
    }

    deinit { bytes.deallocate() }

    /// A stretch of it.
    func part(_ offset: Int, _ count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<offset + count])
    }
}

extension StoreMedium {
    /// The logical block in bytes.
    var blockBytes: Int { Int(logicalBlockSectors) * 512 }

    /// The header, whatever its fields say.
    func readHeader() throws(BlockError) -> StoreHeader {
        let buffer = StoreBuffer(byteCount: blockBytes)
        try read(0, into: buffer.bytes)
        return StoreHeader(decoding: UnsafeRawBufferPointer(buffer.bytes))
    }

    /// Writes zeroes over a stretch that begins and ends on logical blocks.
    func writeZeroes(_ sector: UInt64, count: UInt64) throws(BlockError) {
        let buffer = StoreBuffer(byteCount: Int(min(count, 2048)) * 512)
        var done: UInt64 = 0
        while done < count {
            let step = min(count - done, 2048)
            try write(sector + done, from: UnsafeRawBufferPointer(buffer.part(0, Int(step) * 512)))
            done += step
        }
    }
}
