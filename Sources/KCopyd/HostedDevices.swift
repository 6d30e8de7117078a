import BlockIO
import ControlAPI
import KCopy
import Synchronization

/// The devices that a client has open at the daemon: each is passed by descriptor, once, when it is
/// first used, and closed there when it is closed here.
final class HostedDevices: Sendable {
    private let connection: ControlConnection
    /// The daemon's numbers by the devices' own. Locked across the call that opens a device, so that
    /// two threads do not open it twice.
    private let numbers = Mutex<[UInt64: Int]>([:])

    init(_ connection: ControlConnection) {
        self.connection = connection
    }

    /// A region in the daemon's words.
    /// - Throws: what the daemon says, if it cannot open the device.
    func region(_ region: IORegion) throws(ControlError) -> CopyInterface.Region {
        CopyInterface.Region(
            device: try number(region.device), sector: region.range.start, count: region.range.count)
    }

    private func number(_ device: BlockDevice) throws(ControlError) -> Int {
        let (number, isNew) = try numbers.withLock { numbers throws(ControlError) in
            if let number = numbers[device.id] { return (number, false) }
            // Whether the device is claimed was decided when it was opened here.
            let parameters = CopyInterface.OpenDevice.Parameters(
                descriptor: 0, name: device.path, writable: device.isWritable, force: true)
            let reply = try connection.call(
                CopyInterface.OpenDevice.self, parameters, descriptors: [device.descriptor])
            numbers[device.id] = reply.device
            return (reply.device, true)
        }
        if isNew { device.onClose { [weak self] id in self?.close(id) } }
        return number
    }

    private func close(_ id: UInt64) {
        guard let number = numbers.withLock({ $0.removeValue(forKey: id) }) else { return }
        // A daemon that has gone has closed it, too.
        _ = try? connection.call(
            CopyInterface.CloseDevice.self, CopyInterface.CloseDevice.Parameters(device: number))
    }
}
