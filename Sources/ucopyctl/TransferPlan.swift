import BlockIO
import KCopy
import SystemPackage

/// The devices of a job, open, with their regions in numbers.
struct TransferPlan {
    /// The source's region; none when zeroing.
    var source: IORegion?
    /// The destinations' regions.
    var destinations: [IORegion]

    /// Opens what the regions name: the source without a claim, destinations claimed unless forced.
    /// - Throws: the first device that cannot be had, or does not hold its region's start.
    init(source: RegionArgument?, destinations: [RegionArgument], force: Bool, readBack: Bool) throws(Failure) {
        var count: UInt64?
        if let source {
            let region = try Self.resolve(source, try Self.open(source.path, .readOnly, claim: false), count: nil)
            count = region.range.count
            self.source = region
        }
        // A device with two regions is opened once: its own claim would refuse the second time.
        var open: [(path: String, device: BlockDevice)] = []
        self.destinations = []
        for region in destinations {
            let device: BlockDevice
            if let known = open.first(where: { $0.path == region.path }) {
                device = known.device
            } else {
                device = try Self.openDestination(region.path, readBack ? .readWrite : .writeOnly, claim: !force)
                open.append((region.path, device))
            }
            self.destinations.append(try Self.resolve(region, device, count: count))
        }
    }

    /// Sectors of the job.
    var sectors: UInt64 { source?.range.count ?? destinations.first?.range.count ?? 0 }

    /// The pages that the job can make use of, and never more than `most`: locking memory takes time. From 512 KiB on
    /// half of what it moves is as good as all of it: one half is written while the other is read.
    func usefulPages(most: Int) -> Int {
        let all = sectors / UInt64(Sector.perPage) + 1
        return Int(min(max(all / 2, min(all, 128)), UInt64(most)))
    }

    private static func open(_ path: String, _ access: BlockDevice.Access, claim: Bool) throws(Failure) -> BlockDevice {
        do throws(BlockError) {
            return try BlockDevice.open(FilePath(path), access: access, claim: claim)
        } catch {
            throw Failure(error)
        }
    }

    /// Nothing is created: where an image file is missing, it says how to make one. A device that is missing is a
    /// mistake in its name, which a file under /dev would hide.
    private static func openDestination(_ path: String, _ access: BlockDevice.Access, claim: Bool) throws(Failure)
        -> BlockDevice
    {
        do throws(BlockError) {
            return try BlockDevice.open(FilePath(path), access: access, claim: claim)
        } catch {
            var failure = Failure(error)
            if error.errno == .noSuchFileOrDirectory, !path.hasPrefix("/dev/") {
                failure.reason += "; create an image file first (truncate -s SIZE)"
            }
            throw failure
        }
    }

    /// Without a count of its own a region is as long as the source, or goes to the device's end.
    private static func resolve(_ region: RegionArgument, _ device: BlockDevice, count: UInt64?) throws(Failure)
        -> IORegion
    {
        let sector = region.sector ?? 0
        guard sector <= device.sectors else {
            throw Failure(region.path, "open", "sector \(sector) is behind its end: it has \(device.sectors) sectors")
        }
        return IORegion(device, sector: sector, count: region.count ?? count ?? device.sectors - sector)
    }
}

extension RegionArgument {
    /// The region with its numbers, as it can be given again.
    init(_ region: IORegion) {
        self.init(path: region.device.path, sector: region.range.start, count: region.range.count)
    }
}
