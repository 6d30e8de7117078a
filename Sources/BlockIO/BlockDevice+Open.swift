import CLinux
import Glibc
public import SystemPackage

extension BlockDevice {
    /// Opens a block device or an image file.
    ///
    /// A destination is claimed: a block device with O_EXCL, so that it is refused while it is mounted
    /// or held by somebody else and nobody can mount it meanwhile; an image file with an exclusive
    /// flock(2), unless a loop device is built on it.
    /// - Parameters:
    ///   - access: what is going to be done with it.
    ///   - claim: whether to claim it; false for sources, and for destinations whose user insists.
    /// - Throws: ENOENT and the like from open(2); ENOTBLK for what is neither block device nor
    ///   regular file; EBUSY with the holder; EINVAL for a file that ends inside a sector; EROFS.
    public static func open(
        _ path: FilePath, access: Access, claim: Bool
    ) throws(BlockError) -> BlockDevice {
        let status = try FileStatus(path: path)
        let kind = try requireKind(status, path.string)
        var options: FileDescriptor.OpenOptions = [.closeOnExec]
        if claim, kind == .blockDevice { options.insert(.exclusiveCreate) }
        let descriptor = try patiently { () throws(BlockError) in
            do {
                return try FileDescriptor.open(path, access.mode, options: options)
            } catch {
                throw refusal(path.string, error as? Errno ?? .ioError, status)
            }
        }
        do {
            if claim, kind == .imageFile {
                try refuseBackingFile(status, path.string)
                try patiently { () throws(BlockError) in try lock(descriptor, path.string) }
            }
            return try adopt(descriptor, claim: nil, path: path.string, access: access)
        } catch {
            closeQuietly(descriptor)
            throw error
        }
    }

    /// Opens what a descriptor refers to; the descriptor stays the caller's. What may be done with
    /// the device is what the descriptor allows, never more. The caller's own claim counts; a
    /// writable block device without one is claimed here.
    /// - Parameters:
    ///   - name: what messages call it.
    ///   - claim: whether a block device that is mounted or built upon is refused.
    /// - Throws: as `open`; EBADF for a number that is no open descriptor, or one that allows no I/O at chosen positions.
    public static func open(
        descriptor: FileDescriptor, name: String, claim: Bool
    ) throws(BlockError) -> BlockDevice {
        let status = try FileStatus(of: descriptor, path: name)
        let kind = try requireKind(status, name)
        let flags = clinux_getfl(descriptor.rawValue)
        try check(flags, name, "read the flags")
        guard let access = Access(flags: flags) else {
            throw BlockError(
                name, "open", .badFileDescriptor, reason: "the descriptor allows neither reading nor writing")
        }
        if access != .readOnly, flags & O_APPEND != 0 {
            // Reopened it would allow more than was given; as it is, every write would go to the end of the file.
            throw BlockError(
                name, "open", .badFileDescriptor, reason: "the descriptor allows only appending (O_APPEND)")
        }
        // Not dup(2): a program that the caller executes would inherit the claim.
        let duplicate = clinux_duplicate(descriptor.rawValue)
        try check(duplicate, name, "duplicate the descriptor")
        let kept = FileDescriptor(rawValue: duplicate)
        do {
            let own = try reopen(
                kept, name, status, access: access, claim: claim && kind == .blockDevice && access != .readOnly)
            return try adopt(own ?? kept, claim: own == nil ? nil : kept, path: name, access: access)
        } catch {
            closeQuietly(kept)
            throw error
        }
    }

    /// A file description of our own for the same device, so that switching it to direct I/O is
    /// nobody else's business; nil where the system lets nobody reopen (no /proc, a permission
    /// that has gone), and the caller's description has to do.
    private static func reopen(
        _ descriptor: FileDescriptor, _ name: String, _ status: FileStatus, access: Access, claim: Bool
    ) throws(BlockError) -> FileDescriptor? {
        let path = FilePath("/proc/self/fd/\(descriptor.rawValue)")
        if claim {
            do {
                return try FileDescriptor.open(path, access.mode, options: [.closeOnExec, .exclusiveCreate])
            } catch {
                // Busy: either the caller's own claim, or a holder that the system can name.
                if error as? Errno == .resourceBusy, let holder = DeviceHolder.describe(status.device) {
                    throw BlockError(name, "open", .resourceBusy, reason: "the device is \(holder)")
                }
            }
        }
        return try? FileDescriptor.open(path, access.mode, options: [.closeOnExec])
    }

    /// Makes a device of a descriptor, which it then owns; on an error it is still the caller's.
    private static func adopt(
        _ descriptor: FileDescriptor, claim: FileDescriptor?, path: String, access: Access
    ) throws(BlockError) -> BlockDevice {
        do {
            let status = try FileStatus(of: descriptor, path: path)
            let kind = try requireKind(status, path)
            if kind == .blockDevice, access != .readOnly { try requireWritable(descriptor, path) }
            var geometry = try DeviceGeometry.probe(descriptor, path: path, kind: kind, status: status)
            if geometry.isDirect, !setDirect(descriptor) { geometry.isDirect = false }
            if !geometry.isDirect, kind == .imageFile { geometry.logicalBlockSize = Sector.size }
            return BlockDevice(
                path: path, kind: kind, access: access, geometry: geometry,
                identity: DeviceIdentity(kind: kind, status: status), descriptor: descriptor, claim: claim)
        } catch {
            if claim != nil { closeQuietly(descriptor) }
            throw error
        }
    }

    private static func setDirect(_ descriptor: FileDescriptor) -> Bool {
        let flags = clinux_getfl(descriptor.rawValue)
        return flags >= 0 && clinux_setfl(descriptor.rawValue, flags | clinux_o_direct) == 0
    }

    private static func requireKind(_ status: FileStatus, _ path: String) throws(BlockError) -> Kind {
        guard let kind = status.kind else {
            throw BlockError(
                path, "open", Errno(rawValue: ENOTBLK), reason: "it is neither a block device nor an image file")
        }
        return kind
    }

    private static func requireWritable(_ descriptor: FileDescriptor, _ path: String) throws(BlockError) {
        var readOnly: Int32 = 0
        try check(clinux_blkroget(descriptor.rawValue, &readOnly), path, "ask whether it is read-only")
        if readOnly != 0 {
            throw BlockError(path, "open for writing", .readOnlyFileSystem, reason: "the device is read-only")
        }
    }

    /// The reason for a claim that the system names no holder for.
    private static let unknownHolder = "held by another program"
    /// How long to wait for such a claim to end, and how long between two looks, in nanoseconds.
    private static let patience = 350_000_000
    private static let pause = 5_000_000

    /// Tries again while a claim is held by nobody knows whom: it may be that of a process that has just ended, whose ring
    /// holds its devices until its last I/O has ended. That fences late writes off, and takes a moment.
    private static func patiently<Value>(_ attempt: () throws(BlockError) -> Value) throws(BlockError) -> Value {
        for _ in 0..<(patience / pause) {
            do { return try attempt() } catch {
                guard error.errno == .resourceBusy, error.reason.hasSuffix(unknownHolder) else { throw error }
            }
            var time = timespec(tv_sec: 0, tv_nsec: pause)
            // An interrupted pause is a shorter one.
            _ = nanosleep(&time, nil)
        }
        return try attempt()
    }

    private static func refuseBackingFile(_ status: FileStatus, _ path: String) throws(BlockError) {
        guard let loop = DeviceHolder.loop(over: status) else { return }
        throw BlockError(path, "open", .resourceBusy, reason: "the image file backs \(loop)")
    }

    private static func lock(_ descriptor: FileDescriptor, _ path: String) throws(BlockError) {
        if flock(descriptor.rawValue, LOCK_EX | LOCK_NB) == 0 { return }
        let error = Errno(rawValue: errno)
        guard error == .wouldBlock else { throw BlockError(path, "lock", error) }
        throw BlockError(path, "open", .resourceBusy, reason: "the image file is \(unknownHolder)")
    }

    private static func refusal(_ path: String, _ error: Errno, _ status: FileStatus) -> BlockError {
        guard error == .resourceBusy else { return BlockError(path, "open", error) }
        let holder = DeviceHolder.describe(status.device) ?? unknownHolder
        return BlockError(path, "open", error, reason: "the device is \(holder)")
    }
}

extension BlockDevice.Access {
    /// From fcntl(F_GETFL)'s answer; nil for a descriptor that allows no I/O (O_PATH).
    init?(flags: Int32) {
        // Such a descriptor counts as read-only by its access mode, and its reader might not be allowed to read.
        if flags & clinux_o_path != 0 { return nil }
        switch flags & O_ACCMODE {
        case O_RDONLY: self = .readOnly
        case O_WRONLY: self = .writeOnly
        case O_RDWR: self = .readWrite
        default: return nil
        }
    }
}
