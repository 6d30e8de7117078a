public import BlockIO
import SystemPackage

extension StoreInspector {
    /// Repairs what can be repaired without taking a good exception away, and nothing else:
    ///
    /// - entries at the end of the list none of which can be meant (a chunk behind the end of the store, one that
    ///   holds exceptions, a number of 2^56 or more): the list is cut before the first. That is what an area looks like
    ///   that was not zeroed before the list grew into it.
    /// - bytes behind the end of the list in its last area: they are zeroed.
    ///
    /// A snapshot whose chunks those entries once meant shows the origin there from then on. Everything that is not of
    /// these kinds is refused, and so is everything else together with it. The blocks behind the new end are zeroed and
    /// made durable first, the one with the new end last: whenever the power fails, the store is still as damaged as it
    /// was, or repaired.
    /// - Throws: EINVAL, with the first fault that cannot be repaired; what the device answers.
    public func repair() throws(BlockError) -> StoreRepair {
        let report = try check()
        guard report.condition == .valid, let chunk = report.chunkSectors, let last = report.areas.last else {
            throw refusal(report.faults.first?.description ?? "there is no list of exceptions: \(report.condition)")
        }
        let geometry = StoreGeometry(chunkSectors: chunk)
        let first = report.faults.first { $0.isMeaningless }?.place
        let end = first ?? StorePlace(geometry: geometry, area: last.index, slot: last.used)
        let kept = end.area * geometry.exceptionsPerArea + end.slot
        try refuseOthers(report, dropping: report.exceptions - kept, from: end)
        var repair = StoreRepair(
            droppedExceptions: report.exceptions - kept, exceptions: kept, clearedBytes: 0)
        guard first != nil || report.faults.contains(where: { $0.rule == .staleTail }) else { return repair }
        try clear(geometry, end)
        repair.clearedBytes = geometry.chunkBytes - end.slot * UInt64(ExceptionEntry.size)
        return repair
    }

    /// Refuses a store that has faults of other kinds, or a good exception behind the place where the list would be
    /// cut.
    private func refuseOthers(_ report: StoreReport, dropping: UInt64, from end: StorePlace) throws(BlockError) {
        let others = report.faults.first { $0.preventsLoading && !$0.isMeaningless }
        if let others { throw refusal("\(others): that cannot be repaired") }
        // One entry may break two rules.
        let meaningless = UInt64(Set(report.faults.filter { $0.isMeaningless }.compactMap { $0.place }).count)
        if meaningless < dropping {
            throw refusal(
                "\(end): the list would have to be cut here, and \(dropping - meaningless) good exceptions follow")
        }
    }

    /// Zeroes an area from a slot on.
    private func clear(_ geometry: StoreGeometry, _ end: StorePlace) throws(BlockError) {
        let block = UInt64(medium.blockBytes)
        let offset = end.slot * UInt64(ExceptionEntry.size)
        let boundary = offset / block * block
        let area = geometry.areaSector(end.area)
        let rest = geometry.chunkBytes - boundary - block
        if rest > 0 {
            try medium.writeZeroes(area + (boundary + block) / 512, count: rest / 512)
            try medium.flush()
        }
        let buffer = StoreBuffer(byteCount: Int(block))
        let sector = area + boundary / 512
        try medium.read(sector, into: buffer.bytes)
        let kept = Int(offset - boundary)
        UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[kept...])
            .initializeMemory(as: UInt8.self, repeating: 0)
        try medium.write(sector, from: UnsafeRawBufferPointer(buffer.bytes))
        try medium.flush()
    }

    private func refusal(_ reason: String) -> BlockError {
        BlockError(medium.name, "repair", .invalidArgument, reason: reason)
    }
}
