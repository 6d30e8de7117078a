/// Where things are in a persistent exception store: arithmetic on chunks, nothing else.
///
/// Chunk 0 is the header. An area is one chunk full of exceptions; area k is at chunk 1 + k(E + 1), where E is
/// the number of exceptions that fit into a chunk. Every other chunk, from 2 on, holds data. The layout is the kernel's
/// (drivers/md/dm-snap-persistent.c).
struct StoreGeometry: Hashable, Sendable {
    /// The largest chunk there can be: 2097152 sectors, 1 GiB.
    static let largestChunk: UInt64 = 1 << 21
    /// The chunk size in sectors where neither table nor store names one: 32, or the store's logical block if that is
    /// larger.
    static let defaultChunk: UInt64 = 32
    /// The first chunk that can hold data.
    static let firstDataChunk: UInt64 = 2
    /// Chunk numbers stay below this: the kernel keeps the length of a run in the eight bits above.
    static let chunkLimit: UInt64 = 1 << 56

    /// log2 of the chunk size in sectors, 0...21.
    let chunkShift: UInt64

    /// The geometry of a chunk size that is known to be a power of two, 1...2097152 sectors.
    init(chunkSectors: UInt64) {
        precondition(
            chunkSectors.nonzeroBitCount == 1 && chunkSectors <= Self.largestChunk, "chunk of \(chunkSectors) sectors")
        chunkShift = UInt64(chunkSectors.trailingZeroBitCount)
    }

    /// The geometry of a chunk size that a table or a header gives.
    /// - Parameters:
    ///   - storeBlock: the logical block of the store, in sectors.
    ///   - originBlock: the logical block of the origin, in sectors; nil where no origin is known.
    /// - Throws: the rule that the chunk size breaks.
    init(checking chunkSectors: UInt64, storeBlock: UInt64, originBlock: UInt64?) throws(ChunkSizeFault) {
        if chunkSectors == 0 { throw .zero }
        if chunkSectors > Self.largestChunk { throw .tooLarge(chunkSectors) }
        if chunkSectors.nonzeroBitCount != 1 { throw .notPowerOfTwo(chunkSectors) }
        if chunkSectors % storeBlock != 0 { throw .notMultiple(chunkSectors, of: storeBlock, device: .store) }
        if let originBlock, chunkSectors % originBlock != 0 {
            throw .notMultiple(chunkSectors, of: originBlock, device: .origin)
        }
        self.init(chunkSectors: chunkSectors)
    }

    /// Chunk size in sectors.
    var chunkSectors: UInt64 { 1 << chunkShift }
    /// Chunk size in bytes.
    var chunkBytes: UInt64 { 512 << chunkShift }
    /// Exceptions in an area: the bytes of a chunk divided by 16.
    var exceptionsPerArea: UInt64 { 32 << chunkShift }
    /// The unit in which areas are written, in bytes: a page of 4096, if it is no less than the store's logical block
    /// (in sectors) and no more than a chunk.
    func writeUnit(logicalBlock: UInt64) -> Int { Int(min(max(4096, logicalBlock * 512), chunkBytes)) }
    /// Chunks from one area to the next: the area itself and a data chunk for each of its exceptions.
    var areaStride: UInt64 { exceptionsPerArea + 1 }

    /// The chunk that is area `index`.
    func areaChunk(_ index: UInt64) -> UInt64 { 1 + index * areaStride }
    /// The first sector of area `index`.
    func areaSector(_ index: UInt64) -> UInt64 { areaChunk(index) << chunkShift }
    /// Whether a chunk is an area.
    func isArea(_ chunk: UInt64) -> Bool { chunk % areaStride == 1 }
    /// Whether a chunk can hold data: neither header nor area.
    func isData(_ chunk: UInt64) -> Bool { chunk >= Self.firstDataChunk && !isArea(chunk) }
    /// The data chunk that follows a chunk.
    func dataChunk(after chunk: UInt64) -> UInt64 {
        let next = chunk + 1
        return next < Self.firstDataChunk ? Self.firstDataChunk : isArea(next) ? next + 1 : next
    }

    /// Whole chunks in a store of so many sectors.
    func chunks(in sectors: UInt64) -> UInt64 { sectors >> chunkShift }
    /// How many areas lie wholly inside a store of so many sectors.
    func areas(in sectors: UInt64) -> UInt64 {
        let chunks = chunks(in: sectors)
        return chunks < 2 ? 0 : (chunks - 2) / areaStride + 1
    }
    /// Chunks of an origin of so many sectors; the last one may be shorter than the others.
    func originChunks(in sectors: UInt64) -> UInt64 {
        chunks(in: sectors) + (sectors & (chunkSectors - 1) == 0 ? 0 : 1)
    }
}

/// The rule that a chunk size breaks.
enum ChunkSizeFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// A device that a chunk size has to suit.
    enum Device: String, Hashable, Sendable {
        /// The device that holds the exceptions.
        case store
        /// The device that is snapshotted.
        case origin
    }

    case zero
    case tooLarge(UInt64)
    case notPowerOfTwo(UInt64)
    /// No multiple of a device's logical block; both numbers in sectors.
    case notMultiple(UInt64, of: UInt64, device: Device)

    var description: String {
        switch self {
        case .zero: "a chunk of 0 sectors: the smallest has 1"
        case .tooLarge(let size): "a chunk of \(size) sectors: the largest has \(StoreGeometry.largestChunk)"
        case .notPowerOfTwo(let size): "a chunk of \(size) sectors: it has to be a power of two"
        case .notMultiple(let size, let block, let device):
            "a chunk of \(size) sectors: it has to be a multiple of the \(device.rawValue)'s logical block of \(block) sectors"
        }
    }
}
