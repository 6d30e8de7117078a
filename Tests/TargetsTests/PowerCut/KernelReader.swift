/// What a reader of the persistent format that checks nothing finds in a store, as the kernel's: an independent way to read a
/// snapshot out of two images.
struct KernelReader {
    enum Fault: Error, Hashable {
        /// Neither a store nor a blank device.
        case magic
        case version
        case chunkSize
        /// An area that the list leads to lies behind the end of the device.
        case missingArea
    }

    private(set) var isNew = false
    private(set) var isValid = false
    private(set) var chunk: UInt64 = 0
    /// Where the chunks of the origin are in the store.
    private(set) var exceptions: [UInt64: UInt64] = [:]
    /// Used slots.
    private(set) var used = 0

    init(_ store: [UInt8]) throws(Fault) {
        let magic = Self.number(store, 0, 4)
        if magic == 0 {
            isNew = true
            return
        }
        guard magic == 0x7041_6E53 else { throw .magic }
        guard Self.number(store, 8, 4) == 1 else { throw .version }
        chunk = Self.number(store, 12, 4)
        guard chunk > 0, chunk & (chunk - 1) == 0 else { throw .chunkSize }
        isValid = Self.number(store, 4, 4) != 0
        guard isValid else { return }
        let perArea = chunk * 32
        var area: UInt64 = 0
        while true {
            let start = Int((1 + area * (perArea + 1)) * chunk * 512)
            guard start + Int(chunk) * 512 <= store.count else { throw .missingArea }
            for slot in 0..<Int(perArea) {
                let new = Self.number(store, start + slot * 16 + 8, 8)
                if new == 0 { return }
                exceptions[Self.number(store, start + slot * 16, 8)] = new
                used += 1
            }
            area += 1
        }
    }

    private static func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
        (0..<count).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64($1 * 8) }
    }

    /// The sectors of the snapshot.
    func snapshot(_ sectors: Int, origin: [UInt64?], store: [UInt64?]) -> [UInt64?] {
        (0..<sectors).map { sector in
            guard chunk > 0, let new = exceptions[UInt64(sector) / chunk] else { return origin[sector] }
            let place = Int(new * chunk + UInt64(sector) % chunk)
            return place < store.count ? store[place] : nil
        }
    }
}
