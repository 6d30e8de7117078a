/// Where an exception is on its store.
public struct StorePlace: Hashable, Sendable, CustomStringConvertible {
    /// The number of its area, from 0.
    public var area: UInt64
    /// The number of its slot in the area, from 0.
    public var slot: UInt64
    /// The position of the slot on the device, in bytes.
    public var byteOffset: UInt64

    init(geometry: StoreGeometry, area: UInt64, slot: UInt64) {
        self.area = area
        self.slot = slot
        byteOffset = geometry.areaSector(area) * 512 + slot * UInt64(ExceptionEntry.size)
    }

    /// `area A, slot S (byte B)`.
    public var description: String { "area \(area), slot \(slot) (byte \(byteOffset))" }
}

/// Something that is wrong with a store.
public struct StoreFault: Hashable, Sendable, CustomStringConvertible {
    /// What is wrong; chunk numbers are counted in the store's chunks.
    public enum Rule: Hashable, Sendable {
        /// The first four bytes are neither those of a store nor zero.
        case wrongMagic(UInt32)
        /// The version is not 1.
        case unknownVersion(UInt32)
        /// The header's chunk size breaks a rule, which is told in words.
        case badChunkSize(String)
        /// The device has no room for header and first area; the number is its size in sectors.
        case tooSmall(sectors: UInt64, needed: UInt64)
        /// The old chunk is 2^56 or more.
        case oldChunkTooLarge(UInt64)
        /// The old chunk is behind the end of the origin, which has so many chunks.
        case oldChunkBeyondOrigin(UInt64, chunks: UInt64)
        /// The new chunk is behind the end of the store, which has so many chunks.
        case newChunkBeyondStore(UInt64, chunks: UInt64)
        /// The new chunk is one that holds exceptions.
        case newChunkIsArea(UInt64)
        /// Another exception, at an earlier place, has the same old chunk.
        case oldChunkTwice(UInt64, first: StorePlace)
        /// Another exception, at an earlier place, has the same new chunk.
        case newChunkTwice(UInt64, first: StorePlace)
        /// There are bytes other than zero behind the end of the list. They mean nothing now; a list that grows up to
        /// them would take them for exceptions.
        case staleTail
        /// The last area is full, and the next one does not fit into the device: the store loads here, as a full one,
        /// but not in the kernel.
        case noNextArea
    }

    /// What is wrong.
    public var rule: Rule
    /// The exception that it is wrong with; the place of the end of the list for `staleTail` and `noNextArea`; nil for
    /// the header.
    public var place: StorePlace?

    /// Whether a store with this fault is refused.
    public var preventsLoading: Bool { rule != .staleTail && rule != .noNextArea }

    /// Whether the fault is one of an exception that can mean nothing, whatever other exceptions say.
    var isMeaningless: Bool {
        switch rule {
        case .oldChunkTooLarge, .oldChunkBeyondOrigin, .newChunkBeyondStore, .newChunkIsArea: true
        case .wrongMagic, .unknownVersion, .badChunkSize, .tooSmall, .oldChunkTwice, .newChunkTwice, .staleTail,
            .noNextArea:
            false
        }
    }

    /// Place and rule, on one line.
    public var description: String { "\(place?.description ?? "header"): \(reason)" }

    private var reason: String {
        switch rule {
        case .wrongMagic(let magic): "begins with \(Self.hex(magic)), not with 0x70416e53"
        case .unknownVersion(let version): "version \(version): only version 1 is known"
        case .badChunkSize(let text): text
        case .tooSmall(let sectors, let needed):
            "the device has \(sectors) sectors, header and first area need \(needed)"
        case .oldChunkTooLarge(let old): "old chunk \(old): chunk numbers are below 2^56"
        case .oldChunkBeyondOrigin(let old, let chunks): "old chunk \(old): the origin has \(chunks) chunks"
        case .newChunkBeyondStore(let new, let chunks): "new chunk \(new): the store has \(chunks) chunks"
        case .newChunkIsArea(let new): "new chunk \(new): that chunk holds exceptions"
        case .oldChunkTwice(let old, let first): "old chunk \(old): \(first) has it too"
        case .newChunkTwice(let new, let first): "new chunk \(new): \(first) has it too"
        case .staleTail: "the list ends here, and there are bytes other than zero behind its end"
        case .noNextArea: "the area is full, and there is no room for the next one"
        }
    }

    private static func hex(_ number: UInt32) -> String {
        let digits = String(number, radix: 16)
        return "0x" + String(repeating: "0", count: 8 - digits.count) + digits
    }
}
