public import BlockIO
import SystemPackage

/// Looks into a persistent exception store, without a snapshot and whatever its state. It writes only in `repair()`.
public final class StoreInspector {
    let medium: any StoreMedium

    /// An inspector of an open device: readable, and for a repair writable and claimed. It stays open.
    public convenience init(device: BlockDevice) { self.init(medium: BlockDeviceMedium(device)) }

    init(medium: any StoreMedium) { self.medium = medium }

    // MARK: Check

    /// Reads header and areas, and finds everything that is wrong with them. That the store is damaged is no error.
    /// - Throws: what the device answers.
    public func check() throws(BlockError) -> StoreReport {
        let sectors = try medium.sectors
        let block = medium.logicalBlockSectors
        guard sectors >= block else {
            var report = StoreReport(
                device: medium.name, condition: .unreadable,
                header: StoreReport.Header(magic: 0, valid: 0, version: 0, chunkSectors: 0), totalSectors: sectors)
            report.faults = [StoreFault(rule: .tooSmall(sectors: sectors, needed: 2 * block))]
            return report
        }
        let header = try medium.readHeader()
        var report = StoreReport(
            device: medium.name, condition: .valid,
            header: StoreReport.Header(
                magic: header.magic, valid: header.valid, version: header.version, chunkSectors: header.chunkSectors),
            totalSectors: sectors)
        guard let list = list(header, &report) else { return report }
        try check(list, &report)
        return report
    }

    /// The list of a store that has one; what is wrong with the header goes into the report.
    private func list(_ header: StoreHeader, _ report: inout StoreReport) -> ExceptionList? {
        if header.magic == 0 {
            report.condition = .new
            return nil
        }
        if header.magic != StoreHeader.magic {
            report.condition = .unreadable
            report.faults = [StoreFault(rule: .wrongMagic(header.magic))]
            return nil
        }
        if header.version != StoreHeader.version {
            report.faults.append(StoreFault(rule: .unknownVersion(header.version)))
        }
        let geometry: StoreGeometry
        do {
            geometry = try StoreGeometry(
                checking: UInt64(header.chunkSectors), storeBlock: medium.logicalBlockSectors, originBlock: nil)
            report.chunkSectors = geometry.chunkSectors
        } catch {
            report.faults.append(StoreFault(rule: .badChunkSize("\(error)")))
            report.condition = .unreadable
            return nil
        }
        if !report.faults.isEmpty {
            report.condition = .unreadable
            return nil
        }
        if header.valid == 0 {
            report.condition = .invalid
            return nil
        }
        if geometry.areas(in: report.totalSectors) == 0 {
            report.faults.append(
                StoreFault(rule: .tooSmall(sectors: report.totalSectors, needed: 2 * geometry.chunkSectors)))
            return nil
        }
        return ExceptionList(medium: medium, geometry: geometry, sectors: report.totalSectors)
    }

    private func check(_ list: ExceptionList, _ report: inout StoreReport) throws(BlockError) {
        let geometry = list.geometry
        let bulk = ExceptionBulk(
            geometry: geometry, storeChunks: geometry.chunks(in: list.sectors), originChunks: nil)
        let end = try bulk.append(list)
        report.areas = (0...end.area).map { index in
            StoreReport.Area(
                index: index, chunk: geometry.areaChunk(index), sector: geometry.areaSector(index),
                used: index == end.area ? end.used : geometry.exceptionsPerArea, slots: geometry.exceptionsPerArea)
        }
        report.exceptions = end.area * geometry.exceptionsPerArea + end.used
        let cursor = SlotCursor(
            geometry: geometry, area: end.area, used: end.used,
            nextFree: geometry.dataChunk(after: max(bulk.highestNew, 1)))
        report.allocatedSectors = cursor.allocatedSectors
        report.metadataSectors = cursor.metadataSectors
        if bulk.build() == nil { report.faults += try FaultFinder(list: list, originChunks: nil).faults() }
        let place = StorePlace(geometry: geometry, area: end.area, slot: end.used)
        if end.hasStaleTail { report.faults.append(StoreFault(rule: .staleTail, place: place)) }
        if end.used == geometry.exceptionsPerArea {
            report.faults.append(StoreFault(rule: .noNextArea, place: place))
        }
    }

    // MARK: Dump

    /// Calls a body with every exception of the list, in the order of the slots, whether or not it can be meant.
    /// - Throws: EINVAL where the device has no list that could be read; what the device answers; what the body throws.
    public func dump(_ body: (StoredException) throws(BlockError) -> Void) throws(BlockError) {
        let sectors = try medium.sectors
        guard sectors >= medium.logicalBlockSectors else {
            throw BlockError(medium.name, "dump", .invalidArgument, reason: "there is no room for a header")
        }
        let header = try medium.readHeader()
        var report = StoreReport(
            device: medium.name, condition: .valid,
            header: StoreReport.Header(
                magic: header.magic, valid: header.valid, version: header.version, chunkSectors: header.chunkSectors),
            totalSectors: sectors)
        guard let list = list(header, &report) else {
            let reason =
                report.faults.first?.description
                ?? (report.condition == .new ? "the device holds no store" : "the store has become invalid")
            throw BlockError(medium.name, "dump", .invalidArgument, reason: reason)
        }
        try list.forEach { (area, slot, entry) throws(BlockError) in
            try body(StoredException(area: area, slot: slot, oldChunk: entry.old, newChunk: entry.new))
        }
    }
}
