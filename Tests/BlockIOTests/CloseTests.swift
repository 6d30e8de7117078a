import Glibc
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import BlockIO

@Suite("Closing a device")
struct CloseTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func open() throws -> BlockDevice {
        let path = try directory.image("image", bytes: 1 << 20)
        return try BlockDevice.open(FilePath(path), access: .readWrite, claim: false)
    }

    @Test("gives its descriptor back")
    func descriptor() throws {
        let device = try open()
        #expect(OpenDescriptors.count(of: device.path) == 1)
        device.close()
        #expect(OpenDescriptors.count(of: device.path) == 0)
        device.close()
    }

    @Test("refuses new users at once and waits for the last of those there are")
    func inUse() throws {
        let device = try open()
        try device.beginUse()
        try device.beginUse()
        device.close()
        let error = #expect(throws: BlockError.self) { try device.beginUse() }
        #expect(error?.errno == .badFileDescriptor)
        #expect(error?.object == device.path)
        #expect(OpenDescriptors.count(of: device.path) == 1)
        device.endUse()
        #expect(OpenDescriptors.count(of: device.path) == 1)
        device.endUse()
        #expect(OpenDescriptors.count(of: device.path) == 0)
    }

    @Test("tells everybody who asked, once, while the descriptor is still open")
    func told() throws {
        let device = try open()
        let told = Mutex<[(Int, UInt64, Int)]>([])
        for listener in 0..<2 {
            device.onClose { [path = device.path] id in
                told.withLock { $0.append((listener, id, OpenDescriptors.count(of: path))) }
            }
        }
        try device.beginUse()
        device.close()
        #expect(told.withLock { $0.count } == 0)
        device.endUse()
        device.close()
        #expect(told.withLock { $0.map(\.0) } == [0, 1])
        #expect(told.withLock { $0.allSatisfy { $0.1 == device.id && $0.2 == 1 } })
    }

    @Test("happens by itself when nobody has the device any more")
    func forgotten() throws {
        let path = try open().path
        #expect(OpenDescriptors.count(of: path) == 0)
    }

    @Test("is done by one of many threads that end their use at once")
    func concurrently() async throws {
        for _ in 0..<50 {
            let device = try open()
            let closes = Atomic<Int>(0)
            device.onClose { _ in closes.add(1, ordering: .relaxed) }
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        guard (try? device.beginUse()) != nil else { return }
                        #expect(fcntl(device.descriptor.rawValue, F_GETFD) >= 0)
                        device.endUse()
                    }
                }
                group.addTask { device.close() }
            }
            #expect(closes.load(ordering: .relaxed) == 1)
            #expect(OpenDescriptors.count(of: device.path) == 0)
        }
    }

    @Test("leaves numbers that no later device has")
    func numbers() throws {
        let first = try open()
        let id = first.id
        first.close()
        #expect(try open().id > id)
    }
}

/// Closes a device and claims it anew at once.
func closeAndClaim(_ device: BlockDevice, _ path: String) throws {
    let again = try Program.quietly {
        device.close()
        return try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
    }
    again.close()
}
