import BlockIO
import ControlAPI
import Synchronization
import SystemPackage

/// An open device with everybody who needs it: the connection that opened it, the jobs on it.
///
/// It is closed by whoever lets go last, so `release()` belongs on the queue of the peer's account: closing may block.
final class SharedDevice: Sendable {
    let device: BlockDevice
    private let allowance: Allowance
    private let users = Mutex(1)
    private let onClose: (@Sendable () -> Void)?

    /// Takes over an open device, for one user.
    init(_ device: BlockDevice, _ allowance: Allowance, onClose: (@Sendable () -> Void)? = nil) {
        self.device = device
        self.allowance = allowance
        self.onClose = onClose
    }

    /// Counts another user in.
    /// - Returns: false if the last one has gone already.
    func retain() -> Bool {
        users.withLock { users in
            if users > 0 { users += 1 }
            return users > 0
        }
    }

    /// Counts a user out; the last one closes the device.
    func release() {
        let left = users.withLock { users in
            precondition(users > 0, "\(device.path) released more often than it was taken")
            users -= 1
            return users
        }
        guard left == 0 else { return }
        onClose?()
        device.close()
        allowance.release()
    }
}

/// The devices that one client's jobs have open by path.
///
/// Destinations are claimed, so a second job on the same one has to share what the first has open. What is shared is
/// the storage, whatever path named it, with the same rights and the same claim.
final class DeviceShelf: Sendable {
    private enum Storage: Hashable {
        case blockDevice(DeviceNumber)
        case file(DeviceNumber, inode: UInt64)
    }
    private struct Key: Hashable {
        var storage: Storage
        var writable: Bool
        var claimed: Bool
    }

    private let devices = Mutex<[Key: SharedDevice]>([:])

    /// The device at `path`, open already or opened now. On the queue of `account`, where all users of the shelf are.
    /// - Throws: `deviceFailed` or `limitExceeded`.
    func open(
        _ path: String, writable: Bool, claim: Bool, account: PeerAccount
    ) throws(CopyInterface.Failure) -> SharedDevice {
        let key = Key(storage: try Self.storage(of: path), writable: writable, claimed: claim)
        if let shared = devices.withLock({ $0[key] }), shared.retain() { return shared }
        let opened = try SharedDevice.open(path, writable: writable, claim: claim, account: account) { [weak self] in
            self?.devices.withLock { $0[key] = nil }
        }
        devices.withLock { $0[key] = opened }
        return opened
    }

    private static func storage(of path: String) throws(CopyInterface.Failure) -> Storage {
        do throws(BlockError) {
            let status = try FileStatus(path: FilePath(path))
            if status.kind == .blockDevice { return .blockDevice(status.device) }
            return .file(status.fileSystem, inode: status.inode)
        } catch {
            throw CopyInterface.Failure(error)
        }
    }
}

extension SharedDevice {
    /// Opens a path.
    /// - Throws: `deviceFailed` or `limitExceeded`.
    static func open(
        _ path: String, writable: Bool, claim: Bool, account: PeerAccount, onClose: (@Sendable () -> Void)? = nil
    ) throws(CopyInterface.Failure) -> SharedDevice {
        let allowance = try account.take(.devices)
        do throws(BlockError) {
            let access: BlockDevice.Access = writable ? .readWrite : .readOnly
            let device = try BlockDevice.open(FilePath(path), access: access, claim: writable && claim)
            return SharedDevice(device, allowance, onClose: onClose)
        } catch {
            throw CopyInterface.Failure(error)
        }
    }

    /// Opens what a descriptor refers to. The descriptor is closed.
    /// - Throws: `deviceFailed` or `limitExceeded`.
    static func open(
        _ descriptor: FileDescriptor, name: String, claim: Bool, account: PeerAccount
    ) throws(CopyInterface.Failure) -> SharedDevice {
        // Whatever close(2) says of a descriptor that nothing was written through concerns nobody.
        defer { try? descriptor.close() }
        let allowance = try account.take(.devices)
        do throws(BlockError) {
            return SharedDevice(try BlockDevice.open(descriptor: descriptor, name: name, claim: claim), allowance)
        } catch {
            throw CopyInterface.Failure(error)
        }
    }
}

extension CopyInterface.Failure {
    init(_ error: BlockError) {
        self = .deviceFailed(
            object: error.object, operation: error.operation, reason: error.reason, errno: error.errno.rawValue)
    }
}
