import BlockIO
import SystemPackage

/// The rules that a request has to keep before anything is started. Each refusal names the region and the rule.
enum RegionRules {
    /// kcopyd's limit: bits of the error mask, and of what one read can feed.
    static let mostDestinations = 8

    /// Checks a copy from the first of some regions to the others, or without a source a zeroing of all.
    static func check(
        _ regions: [IORegion], hasSource: Bool, flags: CopyFlags, pages: Int
    ) throws(CopyError) {
        guard flags.isSubset(of: .all) else {
            throw CopyError(
                .invalidArgument, "flags", .invalidArgument,
                "0x\(String(flags.subtracting(.all).rawValue, radix: 16)) is no flag of a copy")
        }
        let first = hasSource ? 1 : 0
        guard (1...mostDestinations).contains(regions.count - first) else {
            throw CopyError(
                .invalidArgument, "destinations", .invalidArgument,
                "there are \(regions.count - first), and 1 to \(mostDestinations) are possible")
        }
        let count = regions[0].range.count
        for (index, region) in regions.enumerated() {
            let isSource = index < first
            try check(
                region, is: isSource ? "source" : "destination \(index - first)",
                readable: isSource || flags.contains(.verify), writable: !isSource)
            guard region.range.count == count else {
                throw CopyError(
                    .countMismatch, region.device.path, .invalidArgument,
                    "destination \(index - first) has \(region.range.count) sectors where \(count) are to be written")
            }
        }
        try checkOverlaps(regions, hasSource: hasSource)
        let block = blockSectors(regions)
        guard UInt64(pages) * UInt64(Sector.perPage) >= block else {
            throw CopyError(
                .noResources, "client", .noMemory,
                "its \(pages) pages cannot hold one block of \(block * UInt64(Sector.size)) bytes")
        }
    }

    /// Checks what is to be laid over a region of so many sectors.
    static func check(_ overlay: CopyOverlay, sectors: UInt64) throws(CopyError) {
        let size = sectors << UInt64(Sector.shift)
        guard overlay.stretches.count <= CopyOverlay.mostStretches else {
            throw CopyError(
                .invalidArgument, "overlay", .invalidArgument,
                "there are \(overlay.stretches.count) stretches, and at most \(CopyOverlay.mostStretches) are possible")
        }
        for (index, stretch) in overlay.stretches.enumerated() {
            let name = "stretch \(index), bytes \(stretch.offset)+\(stretch.memory.count)"
            guard stretch.offset % UInt64(Sector.size) == 0, stretch.memory.count % Sector.size == 0 else {
                throw CopyError(.unaligned, "overlay", .invalidArgument, "\(name), does not fall on sectors")
            }
            let (end, overflow) = stretch.offset.addingReportingOverflow(UInt64(stretch.memory.count))
            guard !overflow, end <= size else {
                throw CopyError(
                    .outOfRange, "overlay", .invalidArgument, "\(name), does not fit on a region of \(size) bytes")
            }
        }
    }

    /// The largest logical block of some regions' devices, in sectors. Block sizes are powers of two.
    static func blockSectors(_ regions: [IORegion]) -> UInt64 {
        regions.reduce(1) { max($0, $1.device.geometry.blockSectors) }
    }

    private static func check(
        _ region: IORegion, is role: @autoclosure () -> String, readable: Bool, writable: Bool
    ) throws(CopyError) {
        let device = region.device
        let range = region.range
        if readable, !device.isReadable {
            throw CopyError(.accessDenied, device.path, .notPermitted, "\(role()) is not open for reading")
        }
        if writable, !device.isWritable {
            throw CopyError(.accessDenied, device.path, .notPermitted, "\(role()) is not open for writing")
        }
        let (end, overflow) = range.start.addingReportingOverflow(range.count)
        guard !overflow, end <= device.sectors || end <= grown(device) else {
            throw CopyError(
                .outOfRange, device.path, .invalidArgument,
                "\(role()) needs sectors \(range.start)+\(range.count), and the device has \(device.sectors)")
        }
        let block = device.geometry.blockSectors
        guard range.start % block == 0, range.count % block == 0 else {
            throw CopyError(
                .unaligned, device.path, .invalidArgument,
                "\(role()), sectors \(range.start)+\(range.count), does not fall on blocks of \(block) sectors (\(device.geometry.logicalBlockSize) bytes)"
            )
        }
    }

    /// Size in sectors of a device that may have grown since it was opened.
    private static func grown(_ device: BlockDevice) -> UInt64 {
        guard (try? device.beginUse()) != nil else { return 0 }
        defer { device.endUse() }
        return (try? device.currentSectors()) ?? 0
    }

    private static func checkOverlaps(_ regions: [IORegion], hasSource: Bool) throws(CopyError) {
        func role(_ index: Int) -> String {
            hasSource && index == 0 ? "the source" : "destination \(hasSource ? index - 1 : index)"
        }
        for (index, region) in regions.enumerated() {
            for earlier in 0..<index {
                let other = regions[earlier]
                guard region.device.identity.overlaps(region.range, other.device.identity, other.range) else {
                    continue
                }
                throw CopyError(
                    .overlap, region.device.path, .invalidArgument,
                    "\(role(index)), sectors \(region.range.start)+\(region.range.count), overlaps \(role(earlier)), sectors \(other.range.start)+\(other.range.count)"
                )
            }
        }
    }
}
