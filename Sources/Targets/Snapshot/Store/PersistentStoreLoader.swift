import BlockIO
import SystemPackage

/// Loads a persistent exception store, and initialises a new one.
///
/// Unlike the kernel it checks every exception: a store that names a chunk that it cannot mean is refused, with the
/// place and the rule, and stays as it is. A full last area that has no room for a successor is loaded as a full store;
/// the kernel cannot load such a one.
struct PersistentStoreLoader {
    /// The device.
    let medium: any StoreMedium
    /// The chunk size of the table in sectors; 0 for the default.
    var tableChunk: UInt64 = 0
    /// The logical block of the origin in sectors; nil where it is unknown.
    var originBlock: UInt64?
    /// The size of the origin in sectors; nil where it is unknown.
    var originSectors: UInt64?

    /// Reads the store; writes nothing but the header and the empty first area of a new one.
    /// - Throws: EINVAL for a chunk size that breaks a rule, an unknown version, a damaged exception; ENXIO for a
    ///   device that holds something else; ENOSPC for one too small to be initialised; the device's own error.
    func load() throws(BlockError) -> LoadedStore {
        let wanted = tableChunk != 0 ? tableChunk : max(StoreGeometry.defaultChunk, medium.logicalBlockSectors)
        let tableGeometry = try geometry(wanted, "the table names ")
        let sectors = try medium.sectors
        guard sectors >= medium.logicalBlockSectors else {
            throw refusal(.noSpace, "the device has \(sectors) sectors: there is no room for a header")
        }
        let header = try medium.readHeader()
        if header.magic == 0 { return try initialize(tableGeometry, sectors) }
        guard header.magic == StoreHeader.magic else {
            throw refusal(.noSuchAddressOrDevice, StoreFault(rule: .wrongMagic(header.magic)).description)
        }
        let geometry = try geometry(UInt64(header.chunkSectors), "header: ")
        guard header.version == StoreHeader.version else {
            throw refusal(.invalidArgument, StoreFault(rule: .unknownVersion(header.version)).description)
        }
        guard header.valid != 0 else { return empty(.invalid, geometry) }
        guard geometry.areas(in: sectors) > 0 else {
            let fault = StoreFault(rule: .tooSmall(sectors: sectors, needed: geometry.chunkSectors * 2))
            throw refusal(.invalidArgument, fault.description)
        }
        return try loadList(geometry, sectors)
    }

    private func geometry(_ chunkSectors: UInt64, _ origin: String) throws(BlockError) -> StoreGeometry {
        do {
            return try StoreGeometry(
                checking: chunkSectors, storeBlock: medium.logicalBlockSectors, originBlock: originBlock)
        } catch {
            throw refusal(.invalidArgument, "\(origin)\(error)")
        }
    }

    private func empty(_ condition: LoadedStore.Condition, _ geometry: StoreGeometry) -> LoadedStore {
        LoadedStore(
            condition: condition, table: ExceptionTable(), cursor: SlotCursor(geometry: geometry), tail: [],
            hasStaleTail: false)
    }

    private func refusal(_ errno: Errno, _ reason: String) -> BlockError {
        BlockError(medium.name, "load the store", errno, reason: reason)
    }

    // MARK: A new store

    /// The first area is empty and durable before there is a header, and the header is one block: whenever the power
    /// fails, the device is either still new or an empty store.
    private func initialize(_ geometry: StoreGeometry, _ sectors: UInt64) throws(BlockError) -> LoadedStore {
        let chunk = geometry.chunkSectors
        guard geometry.areas(in: sectors) > 0 else {
            throw refusal(
                .noSpace,
                "the device has \(sectors) sectors: header and first area of a new store need two chunks, \(chunk * 2) sectors"
            )
        }
        let block = medium.logicalBlockSectors
        if chunk > block { try medium.writeZeroes(block, count: chunk - block) }
        try medium.writeZeroes(geometry.areaSector(0), count: chunk)
        try medium.flush()
        let buffer = StoreBuffer(byteCount: medium.blockBytes)
        StoreHeader(chunkSectors: chunk).encode(into: buffer.bytes)
        try medium.write(0, from: UnsafeRawBufferPointer(buffer.bytes))
        try medium.flush()
        return empty(.new, geometry)
    }

    // MARK: A store in use

    private func loadList(_ geometry: StoreGeometry, _ sectors: UInt64) throws(BlockError) -> LoadedStore {
        let list = ExceptionList(medium: medium, geometry: geometry, sectors: sectors)
        let originChunks = originSectors.map { geometry.originChunks(in: $0) }
        let bulk = ExceptionBulk(
            geometry: geometry, storeChunks: geometry.chunks(in: sectors), originChunks: originChunks)
        let end = try bulk.append(list)
        guard let table = bulk.build() else {
            let fault = try FaultFinder(list: list, originChunks: originChunks).faults().first
            throw refusal(.invalidArgument, fault?.description ?? "the device changes while it is read")
        }
        let next = geometry.dataChunk(after: max(bulk.highestNew, 1))
        return LoadedStore(
            condition: .valid, table: table,
            cursor: SlotCursor(geometry: geometry, area: end.area, used: end.used, nextFree: next),
            tail: try tail(geometry, end), hasStaleTail: end.hasStaleTail)
    }

    /// The used slots of the block in which the next one lies.
    private func tail(_ geometry: StoreGeometry, _ end: ExceptionList.End) throws(BlockError) -> [UInt8] {
        let unit = geometry.writeUnit(logicalBlock: medium.logicalBlockSectors)
        let used = Int(end.used) * ExceptionEntry.size
        let start = used / unit * unit
        guard used > start else { return [] }
        let buffer = StoreBuffer(byteCount: unit)
        try medium.read(geometry.areaSector(end.area) + UInt64(start / 512), into: buffer.bytes)
        return [UInt8](buffer.part(0, used - start))
    }
}
