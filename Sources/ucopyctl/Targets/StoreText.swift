import Targets

/// What was found in a store, for people.
enum StoreText {
    /// Header, fill, areas and faults.
    static func report(_ report: StoreReport) -> String {
        var lines = ["\(StandardStreams.visible(report.device)): \(state(report))"]
        if let chunk = report.chunkSectors {
            lines.append("chunk size:  \(chunk) sectors (\(Human.size(chunk << 9)))")
        }
        if let last = report.areas.last {
            lines.append(
                "exceptions:  \(report.exceptions) in \(Human.plural(report.areas.count, "area")), "
                    + "\(last.used) of \(last.slots) in the last")
            lines.append(
                "in use:      \(report.allocatedSectors)/\(report.totalSectors) sectors "
                    + "(\(Human.percent(report.allocatedSectors, of: report.totalSectors))%), "
                    + "\(report.metadataSectors) of them metadata")
        }
        for fault in report.faults {
            lines.append("\(fault.preventsLoading ? "error" : "note"): \(StandardStreams.visible(fault.description))")
        }
        return lines.joined(separator: "\n")
    }

    private static func state(_ report: StoreReport) -> String {
        switch report.condition {
        case .new: "no store yet: a snapshot would make one"
        case .valid where !report.isLoadable: "a damaged store: a snapshot would refuse it"
        case .valid: "a store in good order"
        case .invalid: "a store that has become invalid: its exceptions are lost"
        case .unreadable: "no store that can be read"
        }
    }

    /// A line with its end.
    static func exception(_ exception: StoredException, _ json: Bool) -> String {
        guard json else {
            return "\(exception.area) \(exception.slot) \(exception.oldChunk) \(exception.newChunk)\n"
        }
        // By hand: there may be millions.
        return "{\"area\":\(exception.area),\"newChunk\":\(exception.newChunk),\"oldChunk\":\(exception.oldChunk),"
            + "\"slot\":\(exception.slot)}\n"
    }

    /// What was repaired.
    static func repair(_ done: StoreRepair) -> String {
        guard done.clearedBytes > 0 else { return "nothing had to be repaired: \(done.exceptions) exceptions" }
        return "took \(done.droppedExceptions) entries off the end and cleared \(done.clearedBytes) bytes; "
            + "\(done.exceptions) exceptions are left"
    }
}

/// What was found in a store, as `--json` has it; sizes are bytes.
struct StoreReportObject: Encodable {
    struct Header: Encodable {
        var magic: UInt32
        var valid: UInt32
        var version: UInt32
        var chunkBytes: UInt64
    }
    struct Area: Encodable {
        var index: UInt64
        var chunk: UInt64
        var byteOffset: UInt64
        var used: UInt64
        var slots: UInt64
    }
    struct Fault: Encodable {
        var reason: String
        var preventsLoading: Bool
        var area: UInt64?
        var slot: UInt64?
        var byteOffset: UInt64?
    }

    var device: String
    var condition: String
    var isLoadable: Bool
    var header: Header
    var exceptions: UInt64
    var allocatedBytes: UInt64
    var metadataBytes: UInt64
    var totalBytes: UInt64
    var areas: [Area]
    var faults: [Fault]

    init(_ report: StoreReport) {
        device = report.device
        condition = report.condition.rawValue
        isLoadable = report.isLoadable
        header = Header(
            magic: report.header.magic, valid: report.header.valid, version: report.header.version,
            chunkBytes: UInt64(report.header.chunkSectors) << 9)
        exceptions = report.exceptions
        allocatedBytes = report.allocatedSectors << 9
        metadataBytes = report.metadataSectors << 9
        totalBytes = report.totalSectors << 9
        areas = report.areas.map {
            Area(index: $0.index, chunk: $0.chunk, byteOffset: $0.sector << 9, used: $0.used, slots: $0.slots)
        }
        faults = report.faults.map {
            Fault(
                reason: $0.description, preventsLoading: $0.preventsLoading, area: $0.place?.area, slot: $0.place?.slot,
                byteOffset: $0.place?.byteOffset)
        }
    }
}

/// What a repair has done, as `--json` has it.
struct StoreRepairObject: Encodable {
    var droppedExceptions: UInt64
    var exceptions: UInt64
    var clearedBytes: UInt64

    init(_ done: StoreRepair) {
        droppedExceptions = done.droppedExceptions
        exceptions = done.exceptions
        clearedBytes = done.clearedBytes
    }
}
