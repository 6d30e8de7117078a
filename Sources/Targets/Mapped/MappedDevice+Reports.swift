import SystemPackage

extension MappedDevice {
    /// What `dmsetup info` tells.
    public var info: MappedDeviceInfo {
        MappedDeviceInfo(
            name: name, uuid: uuid, isSuspended: isSuspended, hasLive: live != nil, hasInactive: inactive != nil,
            openCount: openCount, eventNumber: eventNumber, targetCount: live?.segments.count ?? 0,
            isReadOnly: isReadOnly, isRemovalDeferred: isRemovalDeferred, sectors: sectors)
    }

    private func segments(_ slot: TableSlot) -> [LoadedTable.Segment] {
        (slot == .live ? live : inactive)?.segments ?? []
    }

    /// The lines of `dmsetup status`; none without a table.
    public func status(_ slot: TableSlot = .live) -> [TargetReport] {
        segments(slot).map { segment in
            TargetReport(
                range: segment.range, type: segment.target.typeName, text: segment.target.statusText,
                details: segment.target.details)
        }
    }

    /// The lines of `dmsetup table`; none without a table.
    public func table(_ slot: TableSlot = .live) -> [TargetReport] {
        segments(slot).map { segment in
            TargetReport(range: segment.range, type: segment.target.typeName, text: segment.target.tableText)
        }
    }

    /// The devices that a table uses, as `dmsetup deps` lists them: each once, in the order of the lines.
    public func dependencies(_ slot: TableSlot = .live) -> [String] {
        var names: [String] = []
        for segment in segments(slot) {
            for device in segment.target.devices where !names.contains(device.name) { names.append(device.name) }
        }
        return names
    }

    /// Sends a message to the target that serves a sector, or, with a first word that begins with `@`, to the device itself:
    /// `@cancel_deferred_remove`.
    /// - Parameter sector: of the live table.
    /// - Returns: what the target answers; often nothing.
    /// - Throws: EINVAL for a message without words, a sector behind the end, and what the target does not know; ENXIO
    ///   without a live table.
    public func message(sector: UInt64, _ words: [String]) throws(TargetError) -> String {
        try requirePresence("message")
        guard let first = words.first else { throw error("message", .invalidArgument, "it has no words") }
        if first.hasPrefix("@") { return try messageToDevice(words, first) }
        guard let live else { throw error("message", .noSuchAddressOrDevice, "it has no live table") }
        guard sector < live.sectors else {
            throw error(
                "message", .invalidArgument, "there is no sector \(sector): it has \(live.sectors), from 0 on")
        }
        return try live.segment(at: sector).target.message(words)
    }

    private func messageToDevice(_ words: [String], _ first: String) throws(TargetError) -> String {
        guard first == "@cancel_deferred_remove", words.count == 1 else {
            throw error("message", .invalidArgument, "\"\(first)\" is no message to the device itself")
        }
        isRemovalDeferred = false
        return ""
    }
}
