public import BlockIO
import Dispatch
import Synchronization
import SystemPackage

/// The devices that the targets of all threads have open. Every storage is open once for all who name it, whatever they
/// call it: a path, a link, `MAJOR:MINOR`. One that somebody writes to is open for writing and claimed; others are open for
/// reading, and claimed by nobody.
///
/// Somebody who wants to write to what others read has it opened once more, for writing; those who come later share that, and
/// the others are left alone. Devices are opened and closed one after the other on a queue of the pool's own, for both can
/// take their time; the thread that needs a device no more does not wait for it.
public final class DevicePool: @unchecked Sendable {  // `shelf` belongs to `queue`
    private enum Storage: Hashable {
        case blockDevice(DeviceNumber)
        case file(DeviceNumber, inode: UInt64)

        init(_ status: FileStatus) {
            self =
                status.kind == .blockDevice
                ? .blockDevice(status.device) : .file(status.fileSystem, inode: status.inode)
        }
    }

    private struct Key: Hashable {
        var storage: Storage
        var isWritable: Bool
    }

    private struct Open {
        let device: BlockDevice
        var holders: Int
    }

    private let queue = DispatchQueue(label: "io.ucopyd.devices")
    private var shelf: [Key: Open] = [:]

    /// A pool without devices.
    public init() {}

    /// Opens a device.
    /// - Throws: what open(2) answers; EBUSY with the holder for a device that is to be written to; ENXIO for a number that
    ///   no device has; ENOTBLK for what is neither block device nor image file.
    public func open(_ path: String, isWritten: Bool) async throws(BlockError) -> PooledDevice {
        let result: Result<PooledDevice, BlockError> = await withCheckedContinuation { continuation in
            queue.async { [self] in
                do throws(BlockError) {
                    continuation.resume(returning: .success(try take(path, isWritten: isWritten)))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    /// Waits until everything that was released before is closed: threads end after that.
    public func settle() async {
        await withCheckedContinuation { continuation in queue.async { continuation.resume() } }
    }

    // MARK: On the queue

    private func take(_ path: String, isWritten: Bool) throws(BlockError) -> PooledDevice {
        let place: FilePath
        if let number = DeviceNumber(path) { place = try number.node() } else { place = FilePath(path) }
        let storage = Storage(try FileStatus(path: place))
        let writable = Key(storage: storage, isWritable: true)
        if shelf[writable] != nil { return hold(writable, path) }
        let readable = Key(storage: storage, isWritable: false)
        if !isWritten, shelf[readable] != nil { return hold(readable, path) }
        let device = try BlockDevice.open(place, access: isWritten ? .readWrite : .readOnly, claim: isWritten)
        // The path may name something else by now.
        let opened = Key(storage: Storage(try FileStatus(of: device.descriptor, path: path)), isWritable: isWritten)
        if shelf[opened] == nil { shelf[opened] = Open(device: device, holders: 0) } else { device.close() }
        return hold(opened, path)
    }

    private func hold(_ key: Key, _ path: String) -> PooledDevice {
        guard let device = shelf[key]?.device else { preconditionFailure("\(path) is not on the shelf") }
        shelf[key]?.holders += 1
        let name: String
        switch key.storage {
        case .blockDevice(let number): name = "\(number)"
        case .file: name = TableText.quoted(path)
        }
        return PooledDevice(device, name: name) { [self] in queue.async { [self] in drop(key) } }
    }

    private func drop(_ key: Key) {
        guard var open = shelf[key] else { preconditionFailure("a device was released more often than it was opened") }
        open.holders -= 1
        shelf[key] = open.holders > 0 ? open : nil
        if open.holders == 0 { open.device.close() }
    }
}

/// A device of a pool in the hands of one who needs it.
public final class PooledDevice: Sendable {
    /// The device, which others may have too.
    public let device: BlockDevice
    /// What tables print: `MAJOR:MINOR`; for an image file the path as it was given.
    public let name: String
    private let drop: @Sendable () -> Void
    private let isReleased = Atomic<Bool>(false)

    init(_ device: BlockDevice, name: String, drop: @escaping @Sendable () -> Void) {
        self.device = device
        self.name = name
        self.drop = drop
    }

    /// It is needed no more, and no I/O of the holder is under way. Once.
    public func release() {
        let again = isReleased.exchange(true, ordering: .acquiringAndReleasing)
        precondition(!again, "\(name) released twice")
        drop()
    }
}
