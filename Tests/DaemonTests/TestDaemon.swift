import BlockIO
import ControlAPI
import Dispatch
import FoundationEssentials
import Glibc
import KCopy
import Logging
import SystemPackage
import TestSupport
import Varlink

@testable import Daemon

/// A folder of its own that is removed with the object.
final class TemporaryDirectory: Sendable {
    let path: FilePath

    init() throws {
        var template = Array("\(TestSupport.TemporaryDirectory.place)/ucopyd-test.XXXXXX".utf8CString)
        guard let made = template.withUnsafeMutableBufferPointer({ $0.baseAddress.flatMap { mkdtemp($0) } }) else {
            throw Errno(rawValue: errno)
        }
        path = FilePath(platformString: made)
    }

    deinit {
        // What is left behind in /tmp harms no other test.
        try? FileManager.default.removeItem(atPath: path.string)
    }

    /// An image file with these bytes.
    func image(_ name: String, _ bytes: [UInt8]) throws -> ImageFile {
        try ImageFile(path.appending(name), bytes)
    }

    /// An image file full of the same byte.
    func image(_ name: String, sectors: Int, filledWith byte: UInt8 = 0) throws -> ImageFile {
        try image(name, [UInt8](repeating: byte, count: sectors * 512))
    }

    /// An image file full of noise.
    func noise(_ name: String, sectors: Int) throws -> ImageFile {
        var generator = SystemRandomNumberGenerator()
        var bytes: [UInt8] = []
        bytes.reserveCapacity(sectors * 512)
        for _ in 0..<(sectors * 64) { withUnsafeBytes(of: generator.next()) { bytes += $0 } }
        return try image(name, bytes)
    }
}

/// A file that stands for a device.
struct ImageFile: Sendable {
    let path: FilePath

    fileprivate init(_ path: FilePath, _ bytes: [UInt8]) throws {
        self.path = path
        let file = try FileDescriptor.open(
            path, .writeOnly, options: [.create, .truncate, .closeOnExec], permissions: [.ownerReadWrite])
        try file.closeAfter { _ = try file.writeAll(bytes) }
    }

    var string: String { path.string }

    func bytes() throws -> [UInt8] {
        let file = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec])
        return try file.closeAfter {
            let size = Int(try file.seek(offset: 0, from: .end))
            return try [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
                count = try file.read(fromAbsoluteOffset: 0, into: UnsafeMutableRawBufferPointer(buffer))
            }
        }
    }

    func region(_ sector: UInt64? = nil, _ count: UInt64? = nil) -> CopyInterface.Region {
        CopyInterface.Region(path: string, sector: sector, count: count)
    }

    /// Whether nobody has it locked. Programs that are being started have all that this process has, for a moment.
    func isUnclaimed() throws -> Bool {
        try TestSupport.Program.quietly {
            let file = try FileDescriptor.open(path, .readWrite, options: [.closeOnExec])
            return try file.closeAfter { flock(file.rawValue, LOCK_EX | LOCK_NB) == 0 }
        }
    }
}

/// The daemon's service inside the test process, on a socket of its own.
final class TestDaemon: Sendable {
    let directory: TemporaryDirectory
    let control: CopyControl
    let targets: TargetControl
    let socket: FilePath
    private let rooms: QueueRooms
    private let service: CopyService
    private let varlink: VarlinkService

    init(_ limits: PeerLimits = PeerLimits()) throws {
        directory = try TemporaryDirectory()
        socket = directory.path.appending("io.ucopyd")
        let engine = getenv("UCOPYD_TEST_ENGINE").flatMap { EngineChoice(rawValue: String(cString: $0)) } ?? .auto
        service = try CopyService(engine: engine, lanes: 1)
        var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        control = CopyControl(service: service, limits: limits, logger: logger)
        rooms = try QueueRooms(engine: engine, service: service, group: nil)
        let exports = directory.path.appending("nbd")
        try FileManager.default.createDirectory(atPath: exports.string, withIntermediateDirectories: false)
        targets = TargetControl(rooms: rooms, folder: exports, logger: logger)
        varlink = VarlinkService(
            info: VarlinkServiceInfo(vendor: "test", product: "test", version: "0", url: ""),
            interfaces: [try control.makeInterface(), try targets.makeInterface()])
        try varlink.listen(path: socket, mode: [.ownerReadWrite])
    }

    /// Stops it and waits for the end.
    func stop(_ policy: StopPolicy = .cancel) -> Int {
        let done = DispatchSemaphore(value: 0)
        let left = Box(-1)
        control.stop(policy, timeout: 60) { hanging in
            left.set(hanging)
            done.signal()
        }
        done.wait()
        Task { [targets] in
            await targets.stop()
            done.signal()
        }
        done.wait()
        varlink.shutdown { done.signal() }
        done.wait()
        rooms.stop()
        if left.get() == 0 { service.shutdown() }
        return left.get()
    }

    func connect() throws -> ControlConnection { try ControlConnection(path: socket) }

    /// A connection with a client on it.
    func client(
        pages: Int = 64, bytesPerSecond: UInt64? = nil, keep: Bool = false
    ) throws -> (ControlConnection, Int) {
        let connection = try connect()
        return (connection, try connection.client(pages: pages, bytesPerSecond: bytesPerSecond, keep: keep))
    }

    /// Waits until the daemon's end of what a closed connection had is done: its clients are gone.
    func waitUntilGone(_ client: Int) {
        let done = DispatchSemaphore(value: 0)
        control.end(client, cancel: false) { done.signal() }
        done.wait()
    }
}

extension ControlConnection {
    func client(pages: Int = 64, bytesPerSecond: UInt64? = nil, keep: Bool = false) throws -> Int {
        try call(
            CopyInterface.CreateClient.self,
            .init(pages: pages, name: "test", bytesPerSecond: bytesPerSecond, keep: keep)
        ).client
    }

    func copy(
        _ client: Int, _ source: CopyInterface.Region, _ destinations: [CopyInterface.Region],
        _ options: CopyInterface.Options? = nil, descriptors: [FileDescriptor] = []
    ) throws -> Int {
        try call(
            CopyInterface.Copy.self,
            .init(client: client, source: source, destinations: destinations, options: options),
            descriptors: descriptors
        ).job
    }

    func setRate(_ client: Int, _ bytesPerSecond: UInt64?) throws {
        _ = try call(CopyInterface.SetRate.self, .init(client: client, bytesPerSecond: bytesPerSecond))
    }

    func end(_ client: Int, cancel: Bool = false) throws {
        _ = try call(CopyInterface.DestroyClient.self, .init(client: client, cancel: cancel))
    }
}

/// What the interface says went wrong, or nil.
func failure(_ body: () throws -> Void) -> CopyInterface.Failure? {
    do {
        try body()
        return nil
    } catch ControlError.failure(let failure) {
        return failure
    } catch {
        return nil
    }
}
