import BlockIO
public import CKCopyd
import CLinux
import Glibc
import SystemPackage

/// The devices that C programs have open.
let devices = HandleTable<BlockDevice>(mark: 0x4B42)

@c @implementation
public func kcopyd_device_open(
    _ path: UnsafePointer<CChar>?, _ flags: Int32, _ result: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
    answer { () throws(CallError) in
        let path = try required(path)
        let result = try required(result)
        let access = try BlockDevice.Access(openFlags: flags)
        do throws(BlockError) {
            let device = try BlockDevice.open(
                FilePath(platformString: path), access: access, claim: flags & O_EXCL != 0)
            result.pointee = devices.insert(device)
        } catch {
            throw CallError(error)
        }
    }
}

@c @implementation
public func kcopyd_device_from_fd(_ fd: Int32, _ result: UnsafeMutablePointer<OpaquePointer?>?) -> Int32 {
    answer { () throws(CallError) in
        let result = try required(result)
        guard fd >= 0 else { throw CallError(.badFileDescriptor) }
        do throws(BlockError) {
            let device = try BlockDevice.open(
                descriptor: FileDescriptor(rawValue: fd), name: "descriptor \(fd)", claim: false)
            result.pointee = devices.insert(device)
        } catch {
            throw CallError(error)
        }
    }
}

@c @implementation
public func kcopyd_device_close(_ bdev: OpaquePointer?) {
    // Nobody to tell: a forked child has nothing to close, a handle that is not open is closed.
    _ = answer { () throws(CallError) in devices.remove(bdev)?.close() }
}

@c @implementation
public func kcopyd_device_size(_ bdev: OpaquePointer?, _ sectors: UnsafeMutablePointer<sector_t>?) -> Int32 {
    answer { () throws(CallError) in
        let sectors = try required(sectors)
        sectors.pointee = try devices.object(bdev).sectors
    }
}

@c @implementation
public func kcopyd_device_block_size(_ bdev: OpaquePointer?, _ bytes: UnsafeMutablePointer<UInt32>?) -> Int32 {
    answer { () throws(CallError) in
        let bytes = try required(bytes)
        bytes.pointee = UInt32(try devices.object(bdev).geometry.logicalBlockSize)
    }
}

extension BlockDevice.Access {
    /// The access mode among the flags of open(2).
    /// - Throws: EINVAL for flags that the library does not take.
    fileprivate init(openFlags flags: Int32) throws(CallError) {
        let accepted = O_ACCMODE | O_EXCL | O_CLOEXEC | clinux_o_direct
        guard flags & ~accepted == 0 else { throw CallError(.invalidArgument) }
        switch flags & O_ACCMODE {
        case O_RDONLY: self = .readOnly
        case O_WRONLY: self = .writeOnly
        case O_RDWR: self = .readWrite
        default: throw CallError(.invalidArgument)
        }
    }
}
