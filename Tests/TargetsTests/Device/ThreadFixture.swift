import BlockIO
import Glibc
import KCopy
import SystemPackage
import TestSupport

@testable import Targets

/// A queue thread with a host, a copy service and a pool of devices. `end()` gives everything back.
final class ThreadFixture: Sendable {
    let directory: TemporaryDirectory
    let thread: QueueThread
    let service: CopyService
    let pool = DevicePool()
    let host: ThreadBound<TargetHost>
    let loader: TableLoader

    init() async throws {
        directory = try TemporaryDirectory()
        let thread = try QueueThread(name: "targets")
        let service = try CopyService(lanes: 1)
        self.thread = thread
        self.service = service
        host = await ThreadBound.make(on: thread) { TargetHost(thread: thread, service: service) }
        loader = TableLoader(
            registry: TargetRegistry.all, pool: pool, host: host)
    }

    func end() async {
        await pool.settle()
        thread.stop()
        service.shutdown()
    }

    /// An image file with some content.
    func image(_ name: String, _ bytes: [UInt8]) throws -> String { try directory.image(name, contents: bytes) }

    /// A device of the pool, on the thread.
    func open(_ path: String, isWritten: Bool = true) async throws -> ThreadBound<ThreadDevice> {
        let pooled = try await pool.open(path, isWritten: isWritten)
        let thread = thread
        return await ThreadBound.make(on: thread) { ThreadDevice(pooled, thread: thread) }
    }

    /// A mapped device.
    func device(_ name: String = "fixture") async throws -> ThreadBound<MappedDevice> {
        let host = host
        return try await ThreadBound.make(on: thread) { () throws(TargetError) in
            try MappedDevice(name: name, host: host.value)
        }
    }
}

extension ThreadBound where Value == MappedDevice {
    /// Does a request, with data where it writes: what it has read, and its errno.
    func request(
        _ operation: IOOperation.Kind, _ sector: UInt64 = 0, _ count: UInt64 = 0, data: [UInt8] = []
    ) async -> (errno: Int32, bytes: [UInt8]) {
        await withCheckedContinuation { continuation in
            post { [thread] device in
                let length = max(Int(count) << Sector.shift, 1)
                guard let buffer = thread.memory.take(bytes: length) else {
                    return continuation.resume(returning: (ENOMEM, []))
                }
                buffer.slice.address.copyMemory(from: data, byteCount: data.count)
                let request = BlockRequest { request in
                    let bytes = UnsafeRawBufferPointer(start: buffer.slice.address, count: length)
                    let result = operation == .read ? [UInt8](bytes) : []
                    thread.memory.give(buffer)
                    continuation.resume(returning: (request.errno, result))
                }
                let hasData = operation == .read || operation == .write
                request.describe(operation, sector: sector, count: count, memory: hasData ? buffer.slice : nil)
                device.handle(request)
            }
        }
    }
}
