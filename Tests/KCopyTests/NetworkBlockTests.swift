import BlockIO
import Dispatch
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import KCopy

/// A disk of nbdkit(1) with its error filter, mounted as a file by nbdfuse(1).
private final class FaultyDisk {
    static let isPossible =
        getuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0 && Program.exist("nbdkit", "nbdfuse", "fusermount3")

    let path: String
    private let trigger: String
    private let mountPoint: String
    private var processes: [pid_t] = []

    /// - Parameters:
    ///   - image: the content, kept in this file.
    ///   - errors: parameters of the error filter.
    init(_ directory: TemporaryDirectory, _ image: String, errors: [String]) async throws {
        mountPoint = directory.file("mount")
        trigger = directory.file("trigger")
        path = "\(mountPoint)/disk"
        guard mkdir(mountPoint, 0o700) == 0 else { throw Errno(rawValue: errno) }
        let (serving, mounted, socket) = (
            directory.file("serving"), directory.file("mounted"), directory.file("socket")
        )
        processes.append(
            try Program.start(
                ["nbdkit", "-f", "-P", serving, "-U", socket, "--filter=error", "file", image] + errors + [
                    "error-file=\(trigger)"
                ]))
        try await Self.appearance(of: serving)
        processes.append(try Program.start(["nbdfuse", "-P", mounted, path, "--unix", socket]))
        try await Self.appearance(of: mounted)
    }

    /// Waits for a file: the only way in which these programs tell that they are ready.
    private static func appearance(of path: String) async throws {
        for _ in 0..<12_000 {
            if access(path, F_OK) == 0 { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw Errno.timedOut
    }

    /// From now on the disk has errors.
    func fail() throws {
        try FileDescriptor.open(
            FilePath(trigger), .writeOnly, options: [.create, .closeOnExec], permissions: .ownerReadWrite
        ).close()
    }

    /// From now on it has none.
    func heal() { unlink(trigger) }

    deinit {
        _ = try? Program.run(["fusermount3", "-u", mountPoint])
        for pid in processes.reversed() {
            kill(pid, SIGKILL)
            _ = Program.wait(pid)
        }
    }
}

@Suite("A disk that fails", .enabled(if: FaultyDisk.isPossible, "needs nbdkit, nbdfuse and FUSE"))
struct NetworkBlockTests {
    private static let sectors = 32768
    private static let contents = Bytes.random(sectors * 512, seed: 1)
    private static let before = Bytes.random(sectors * 512, seed: 2)

    @Test(
        "as one of three destinations gets its bit; the others are complete, and so is it when it works again",
        arguments: EngineKind.available)
    func destination(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine, pages: 256)
        let image = try fixture.directory.image("image", contents: Self.before)
        let disk = try await FaultyDisk(
            fixture.directory, image,
            errors: ["error-pwrite-rate=100%", "error-zero-rate=100%", "error-trim-rate=100%", "error=EIO"])
        let source = try fixture.image("source", Self.contents)
        let first = try fixture.image("first", Self.before)
        let last = try fixture.image("last", Self.before)
        let faulty = try BlockDevice.open(FilePath(disk.path), access: .readWrite, claim: true)
        defer { faulty.close() }
        #expect(faulty.sectors == UInt64(Self.sectors))
        let regions = [first, faulty, last].map { IORegion(whole: $0) }

        try disk.fail()
        let stopped = try await fixture.client.copied(from: IORegion(whole: source), to: regions)
        #expect(!stopped.readError && stopped.writeErrors == 0b010)
        #expect(stopped.copied == 0 && stopped.resumeAt == 0)
        let result = try await fixture.client.copied(from: IORegion(whole: source), to: regions, flags: .ignoreErrors)
        #expect(!result.readError && result.writeErrors == 0b010)
        #expect(result.faults.allSatisfy { $0.side == .destination(1) && $0.errno == EIO })
        try expectContent(first, Self.contents)
        try expectContent(last, Self.contents)
        #expect(Bytes.difference(try Bytes.read(image, count: Self.before.count), Self.before) == nil)
        #expect(try await fixture.client.zeroed([IORegion(whole: faulty)]).writeErrors == 1)

        disk.heal()
        let healed = try await fixture.client.copied(
            from: IORegion(whole: source), to: regions, flags: [.verify, .flush])
        #expect(healed == .success(Self.sectors))
        #expect(Bytes.difference(try Bytes.read(image, count: Self.before.count), Self.contents) == nil)
        #expect(try await fixture.client.zeroed([IORegion(faulty, sector: 8, count: 30000)]) == .success(30000))
        #expect(
            Bytes.difference(try Bytes.read(image, count: Self.before.count), Self.contents.zeroing(8..<30008)) == nil)
    }

    @Test("as the source is a read error; what it could be read of is copied", arguments: EngineKind.available)
    func source(engine: EngineKind) async throws {
        let fixture = try CopyFixture(engine, pages: 256)
        let image = try fixture.directory.image("image", contents: Self.contents)
        let disk = try await FaultyDisk(fixture.directory, image, errors: ["error-pread-rate=20%", "error=EIO"])
        let faulty = try BlockDevice.open(FilePath(disk.path), access: .readOnly, claim: false)
        defer { faulty.close() }
        let destinations = try (0..<2).map { try fixture.image("destination \($0)", Self.before) }
        try disk.fail()
        let result = try await fixture.client.copied(
            from: IORegion(whole: faulty), to: destinations.map { IORegion(whole: $0) }, flags: .ignoreErrors)
        #expect(result.readError && result.writeErrors == 0)
        #expect(result.faults.allSatisfy { $0.side == .source && $0.errno == EIO })
        // 256 pages: pieces of 512 sectors, of which each is copied or untouched.
        var copied: UInt64 = 0
        let found = try destinations.map { try Bytes.read($0.path, count: Self.contents.count) }
        for start in stride(from: 0, to: Self.sectors, by: 512) {
            let bytes = start * 512..<(start + 512) * 512
            let isNew = Bytes.agree(found[0], Self.contents, in: bytes)
            if isNew { copied += 512 }
            for each in found { #expect(Bytes.agree(each, isNew ? Self.contents : Self.before, in: bytes)) }
        }
        #expect(copied == result.copied)

        disk.heal()
        let healed = try await fixture.client.copied(
            from: IORegion(whole: faulty), to: destinations.map { IORegion(whole: $0) })
        #expect(healed == .success(Self.sectors))
        for destination in destinations { try expectContent(destination, Self.contents) }
    }
}
