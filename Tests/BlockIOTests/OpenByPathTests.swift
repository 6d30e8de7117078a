import Dispatch
import Glibc
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import BlockIO

@Suite("Opening a device by path")
struct OpenByPathTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func refusal(_ path: String, _ access: BlockDevice.Access = .readOnly, claim: Bool = false) -> BlockError? {
        #expect(throws: BlockError.self) { _ = try BlockDevice.open(FilePath(path), access: access, claim: claim) }
    }

    @Test(
        "reads size and blocks of a block device from the device", .enabled(if: LoopDevice.canHaveLargeBlocks),
        arguments: [512, 4096])
    func blockDevice(block: Int) throws {
        let image = try directory.image("disk", bytes: 8 << 20)
        try LoopDevice.with(image, options: ["--sector-size", "\(block)"]) { path in
            let device = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
            defer { device.close() }
            #expect(device.kind == .blockDevice)
            #expect(device.sectors == 16384)
            #expect(device.geometry.bytes == 8 << 20)
            #expect(device.geometry.logicalBlockSize == block)
            #expect(device.geometry.blockSectors == UInt64(block / 512))
            #expect(device.geometry.physicalBlockSize >= block)
            #expect(device.geometry.isDirect)
            #expect(device.isReadable && device.isWritable)
            let flags = fcntl(device.descriptor.rawValue, F_GETFL)
            #expect(flags & 0o40000 != 0, "O_DIRECT is set")
        }
    }

    @Test("reads what a block device can do from its queue", .enabled(if: LoopDevice.isPossible))
    func abilities() throws {
        try LoopDevice.with(try directory.image("disk", bytes: 1 << 20)) { path in
            let device = try BlockDevice.open(FilePath(path), access: .readOnly, claim: false)
            defer { device.close() }
            let queue = "/sys/block/\(path.dropFirst("/dev/".count))/queue"
            let discard = try #require(readText(FilePath("\(queue)/discard_max_bytes"))).trimmedLine
            let zeroes = try #require(readText(FilePath("\(queue)/write_zeroes_max_bytes"))).trimmedLine
            #expect(device.geometry.canDiscard == (discard != "0"))
            #expect(device.geometry.canWriteZeroes == (zeroes != "0"))
        }
    }

    @Test("takes an image file as a device", arguments: [0, 512, 1 << 20, 4096 * 3 + 512] as [UInt64])
    func imageFile(bytes: UInt64) throws {
        let path = try directory.image("image", bytes: bytes)
        let device = try BlockDevice.open(FilePath(path), access: .readOnly, claim: false)
        defer { device.close() }
        #expect(device.kind == .imageFile)
        #expect(device.sectors == bytes / 512)
        #expect(device.path == path)
        #expect(!device.isWritable)
        #expect(device.sectors % device.geometry.blockSectors == 0)
    }

    @Test("refuses an image that ends inside a sector, with the numbers")
    func tornSector() throws {
        let path = try directory.image("image", bytes: 1000)
        let error = refusal(path)
        #expect(error?.errno == .invalidArgument)
        #expect(
            error?.description
                == "\(path): open: its 1000 bytes are no whole number of 512-byte sectors: the last one has 488 bytes")
    }

    @Test("refuses a directory, a device that has no blocks, a link to nothing and a path that is missing")
    func notDevices() throws {
        #expect(refusal(directory.path)?.errno == Errno(rawValue: ENOTBLK))
        #expect(refusal("/dev/null")?.errno == Errno(rawValue: ENOTBLK))
        let missing = directory.file("missing")
        #expect(refusal(missing)?.errno == .noSuchFileOrDirectory)
        #expect(refusal(missing)?.object == missing)
        let link = directory.file("link")
        #expect(symlink(missing, link) == 0)
        #expect(refusal(link, .readWrite, claim: true)?.errno == .noSuchFileOrDirectory)
    }

    @Test("refuses a FIFO at once", arguments: [BlockDevice.Access.readOnly, .writeOnly, .readWrite])
    func fifo(access: BlockDevice.Access) throws {
        let path = directory.file("fifo")
        #expect(mkfifo(path, 0o600) == 0)
        let error = refusal(path, access)
        #expect(error?.errno == Errno(rawValue: ENOTBLK))
        #expect(error?.reason == "it is neither a block device nor an image file")
    }

    @Test("refuses to write to a read-only device, and reads it", .enabled(if: LoopDevice.isPossible))
    func readOnlyDevice() throws {
        try LoopDevice.with(try directory.image("disk", bytes: 1 << 20), options: ["-r"]) { path in
            for access in [BlockDevice.Access.readWrite, .writeOnly] {
                let error = refusal(path, access, claim: true)
                #expect(error?.errno == .readOnlyFileSystem || error?.errno == .permissionDenied)
                #expect(error?.object == path)
            }
            let device = try BlockDevice.open(FilePath(path), access: .readOnly, claim: false)
            #expect(device.sectors == 2048)
            device.close()
        }
    }

    @Test("refuses a node that has no device behind it in the system's words", .enabled(if: getuid() == 0))
    func noDevice() throws {
        let path = directory.file("node")
        guard mknod(path, S_IFBLK | 0o600, makedev(259, 999_999)) == 0 else { return }
        #expect(refusal(path)?.errno == .noSuchAddressOrDevice)
    }

    private func makedev(_ major: UInt64, _ minor: UInt64) -> dev_t {
        dev_t((major & 0xfff) << 8 | minor & 0xff | (minor & ~0xff) << 12)
    }
}

@Suite("Claiming a destination")
struct ClaimTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory(onDisk: true) }

    private func refusal(_ path: String) -> BlockError? {
        #expect(throws: BlockError.self) { _ = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true) }
    }

    @Test(
        "is refused while the device is mounted, with the mount point, unless the user insists",
        .enabled(if: LoopDevice.isPossible && Program.exist("mkfs.ext4", "mount", "umount")))
    func mounted() throws {
        try LoopDevice.with(try directory.image("disk", bytes: 4 << 20)) { path in
            try Program.succeed("mkfs.ext4", "-q", path)
            let point = directory.file("point")
            #expect(mkdir(point, 0o700) == 0)
            try Program.succeed("mount", path, point)
            defer { _ = try? Program.run(["umount", point]) }
            let error = refusal(path)
            #expect(error?.errno == .resourceBusy)
            #expect(error?.description == "\(path): open: the device is mounted on \(point)")
            let insisted = try BlockDevice.open(FilePath(path), access: .readWrite, claim: false)
            #expect(insisted.isWritable)
            insisted.close()
        }
    }

    @Test("of a block device excludes another one until it is closed", .enabled(if: LoopDevice.isPossible))
    func exclusive() throws {
        try LoopDevice.with(try directory.image("disk", bytes: 1 << 20)) { path in
            let first = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
            let error = refusal(path)
            #expect(error?.errno == .resourceBusy)
            #expect(error?.reason == "the device is held by another program")
            let source = try BlockDevice.open(FilePath(path), access: .readOnly, claim: false)
            source.close()
            try closeAndClaim(first, path)
        }
    }

    @Test("waits a moment for one that is just ending")
    func ending() throws {
        let path = try directory.image("image", bytes: 1 << 20)
        // A queue of its own: others may have all threads of the common one.
        let queue = DispatchQueue(label: "ending")
        while true {
            let other = try FileDescriptor.open(FilePath(path), .readOnly, options: [.closeOnExec])
            #expect(flock(other.rawValue, LOCK_EX) == 0)
            let start = DispatchTime.now()
            let ended = Atomic<UInt64>(0)
            queue.asyncAfter(deadline: start + .milliseconds(10)) {
                try? other.close()
                ended.store(DispatchTime.now().uptimeNanoseconds, ordering: .relaxed)
            }
            let device = Result { try BlockDevice.open(FilePath(path), access: .readWrite, claim: true) }
            queue.sync {}
            // On a machine too busy to end it in a fifth of a second it may have been waited for in vain.
            if case .failure = device,
                ended.load(ordering: .relaxed) > start.uptimeNanoseconds + 200_000_000
            {
                continue
            }
            try device.get().close()
            return
        }
    }

    @Test("of an image file is refused while a loop device is built on it", .enabled(if: LoopDevice.isPossible))
    func backingFile() throws {
        let image = try directory.image("disk", bytes: 1 << 20)
        try LoopDevice.with(image) { path in
            let error = refusal(image)
            #expect(error?.errno == .resourceBusy)
            #expect(error?.description == "\(image): open: the image file backs \(path)")
            let loop = try BlockDevice.open(FilePath(path), access: .readOnly, claim: false)
            defer { loop.close() }
            let file = try BlockDevice.open(FilePath(image), access: .readWrite, claim: false)
            defer { file.close() }
            let sector = SectorRange(start: 7, count: 1)
            #expect(loop.identity.overlaps(sector, file.identity, sector))
            #expect(!loop.identity.overlaps(sector, file.identity, SectorRange(start: 8, count: 1)))
        }
        let device = try BlockDevice.open(FilePath(image), access: .readWrite, claim: true)
        device.close()
    }

    @Test("of an image file excludes another one until it is closed, and respects the locks of others")
    func locked() throws {
        let path = try directory.image("image", bytes: 1 << 20)
        let first = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
        let error = refusal(path)
        #expect(error?.errno == .resourceBusy)
        #expect(error?.reason == "the image file is held by another program")
        try closeAndClaim(first, path)

        let other = try FileDescriptor.open(FilePath(path), .readOnly, options: [.closeOnExec])
        defer { try? other.close() }
        #expect(flock(other.rawValue, LOCK_SH) == 0)
        #expect(refusal(path)?.errno == .resourceBusy)
        let insisted = try BlockDevice.open(FilePath(path), access: .readWrite, claim: false)
        insisted.close()
    }

    @Test("that fails leaves no descriptor behind", .enabled(if: LoopDevice.isPossible))
    func nothingLeft() throws {
        let image = try directory.image("image", bytes: 1000)
        _ = refusal(image)
        #expect(OpenDescriptors.count(of: image) == 0)
        try LoopDevice.with(try directory.image("disk", bytes: 1 << 20), options: ["-r"]) { path in
            _ = refusal(path)
            #expect(OpenDescriptors.count(of: path) == 0)
        }
    }
}
