import BlockIO
import ControlAPI
import Glibc
import KCopy
import Synchronization
import SystemPackage
import Varlink

/// The regions of a call, checked for form, with the descriptors and devices that they refer to, and not opened yet.
///
/// Descriptors that are not opened in the end are closed with the object.
final class JobRegions: Sendable {
    /// What names a device.
    private enum Origin: Sendable {
        case device(SharedDevice)
        case path(String)
        /// The index among the call's descriptors.
        case descriptor(Int)

        func isDescriptor(_ index: Int) -> Bool {
            if case .descriptor(index) = self { true } else { false }
        }
    }
    private struct Item: Sendable {
        var origin: Origin
        var name: String
        var region: CopyInterface.Region
        var isDestination: Bool
    }

    private let items: [Item]
    private let descriptors: Mutex<[Int: FileDescriptor]>

    /// Takes what the regions refer to from the call and its connection.
    /// - Throws: `org.varlink.service.InvalidParameter` or `PermissionDenied`; failures as Varlink errors.
    init(
        source: CopyInterface.Region?, destinations: [CopyInterface.Region], parameter: String, call: VarlinkCall,
        devices: ConnectionDevices
    ) throws(VarlinkError) {
        guard (1...8).contains(destinations.count) else {
            throw CopyInterface.Failure.refused(
                object: parameter, reason: "\(destinations.count) regions: 1 to 8 are possible", errno: EINVAL
            ).varlinkError
        }
        var items: [Item] = []
        var taken: [Int: FileDescriptor] = [:]
        do throws(VarlinkError) {
            if let source {
                items.append(try Self.item(source, "source", false, call, devices, &taken))
            }
            for (index, region) in destinations.enumerated() {
                items.append(try Self.item(region, "\(parameter)[\(index)]", true, call, devices, &taken))
            }
        } catch {
            for descriptor in taken.values { closeUnused(descriptor) }
            throw error
        }
        self.items = items
        self.descriptors = Mutex(taken)
    }

    deinit {
        for descriptor in descriptors.withLock({ $0.values }) { closeUnused(descriptor) }
    }

    private static func item(
        _ region: CopyInterface.Region, _ parameter: String, _ isDestination: Bool, _ call: VarlinkCall,
        _ devices: ConnectionDevices, _ taken: inout [Int: FileDescriptor]
    ) throws(VarlinkError) -> Item {
        let origin: Origin
        let name: String
        switch (region.device, region.path, region.descriptor) {
        case (let number?, nil, nil):
            guard let device = devices[number] else {
                throw CopyInterface.Failure.noSuchDevice(device: number).varlinkError
            }
            origin = .device(device)
            name = region.name ?? device.device.path
        case (nil, let path?, nil):
            guard CopyControl.isTrusted(call.peer) else { throw .permissionDenied }
            origin = .path(path)
            name = region.name ?? path
        case (nil, nil, let index?):
            if taken[index] == nil {
                taken[index] = try call.takeDescriptor(at: index, parameter: "\(parameter).descriptor")
            }
            origin = .descriptor(index)
            name = region.name ?? "descriptor \(index)"
        default:
            throw .invalidParameter("\(parameter).device")
        }
        // The region is kept as long as the call is, the name as long as the job.
        return Item(origin: origin, name: PeerLimits.name(name), region: region, isDestination: isDestination)
    }
}

/// Closes a descriptor that nothing was done with, so that close(2) has nothing to report.
func closeUnused(_ descriptor: FileDescriptor) {
    do { try descriptor.close() } catch {}
}

extension JobRegions {
    /// Opens the devices and settles the positions. On the queue of the client's account.
    /// - Throws: `deviceFailed`, `limitExceeded`, `refused`; nothing stays open then.
    func open(client: HostedClient, claim: Bool) throws(CopyInterface.Failure) -> JobPlan {
        var opened: [SharedDevice] = []
        var passed: [Int: SharedDevice] = [:]
        do throws(CopyInterface.Failure) {
            for item in items {
                opened.append(try open(item, client, claim, &passed))
            }
            return try plan(opened)
        } catch {
            opened.forEach { $0.release() }
            throw error
        }
    }

    private func open(
        _ item: Item, _ client: HostedClient, _ claim: Bool, _ passed: inout [Int: SharedDevice]
    ) throws(CopyInterface.Failure) -> SharedDevice {
        switch item.origin {
        case .device(let device):
            guard device.retain() else {
                throw .deviceFailed(object: item.name, operation: "use", reason: "the device is closed", errno: EBADF)
            }
            return device
        case .path(let path):
            return try client.shelf.open(path, writable: item.isDestination, claim: claim, account: client.account)
        case .descriptor(let index):
            if let device = passed[index], device.retain() { return device }
            guard let descriptor = descriptors.withLock({ $0.removeValue(forKey: index) }) else {
                preconditionFailure("descriptor \(index) of a call opened twice")
            }
            let isWritten = items.contains { $0.isDestination && $0.origin.isDescriptor(index) }
            let device = try SharedDevice.open(
                descriptor, name: item.name, claim: claim && isWritten, account: client.account)
            passed[index] = device
            return device
        }
    }

    /// Fills in the positions that the caller left out.
    private func plan(_ devices: [SharedDevice]) throws(CopyInterface.Failure) -> JobPlan {
        var plan = JobPlan(destinations: [], destinationNames: [], devices: devices)
        // The first region says how long the others are: the source, or the first one to be zeroed.
        var defaultCount: UInt64?
        for (item, shared) in zip(items, devices) {
            let sector = item.region.sector ?? 0
            let count: UInt64
            if let given = item.region.count ?? defaultCount {
                count = given
            } else {
                guard sector <= shared.device.sectors else {
                    throw .refused(
                        object: item.name,
                        reason: "sector \(sector) is behind its end: it has \(shared.device.sectors)",
                        errno: EINVAL)
                }
                count = shared.device.sectors - sector
            }
            if defaultCount == nil { defaultCount = count }
            let region = IORegion(shared.device, sector: sector, count: count)
            if item.isDestination {
                plan.destinations.append(region)
                plan.destinationNames.append(item.name)
            } else {
                plan.source = region
                plan.sourceName = item.name
            }
        }
        return plan
    }
}
