import Dispatch
import Glibc
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import BlockIO

@Suite("A queue thread")
struct QueueThreadTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private static func choice(_ kind: EngineKind) -> EngineChoice { kind == .uring ? .uring : .blocking }

    @Test("writes durably and reads back, in memory and on a disk", arguments: EngineKind.available, [false, true])
    func transfers(kind: EngineKind, onDisk: Bool) async throws {
        let directory = try TemporaryDirectory(onDisk: onDisk)
        let path = try directory.image("image", contents: [UInt8](repeating: 0, count: 1 << 20))
        let device = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
        let thread = try QueueThread(name: "test", engine: Self.choice(kind))
        #expect(thread.engineName == kind.rawValue)
        let data = Bytes.random(8192, seed: 7)
        let results: ([Int32], [UInt8]) = await withCheckedContinuation { continuation in
            thread.post {
                guard let buffer = thread.memory.take(bytes: 8192) else { return }
                buffer.slice.address.copyMemory(from: data, byteCount: 8192)
                var errors: [Int32] = []
                let write = DeviceIO()
                write.describe(.write, sector: 16, count: 16, memory: buffer.slice, isFUA: true)
                write.ended = { write in
                    errors.append(write.errno)
                    memset(buffer.slice.address, 0, 8192)
                    let read = DeviceIO { read in
                        errors.append(read.errno)
                        let bytes = UnsafeRawBufferPointer(start: buffer.slice.address, count: 8192)
                        let content = [UInt8](bytes)
                        let flush = DeviceIO { flush in
                            errors.append(flush.errno)
                            thread.memory.give(buffer)
                            continuation.resume(returning: (errors, content))
                        }
                        flush.describe(.flush, sector: 0, count: 0)
                        thread.start(flush, on: device)
                    }
                    read.describe(.read, sector: 16, count: 16, memory: buffer.slice)
                    thread.start(read, on: device)
                }
                thread.start(write, on: device)
            }
        }
        #expect(results.0 == [0, 0, 0])
        #expect(results.1 == data)
        device.close()
        thread.stop()
    }

    @Test("is told when a descriptor can be read, and when its other side has gone", arguments: EngineKind.available)
    func polls(kind: EngineKind) async throws {
        let thread = try QueueThread(name: "test", engine: Self.choice(kind))
        var pair: [Int32] = [-1, -1]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        let (near, far) = (FileDescriptor(rawValue: pair[0]), FileDescriptor(rawValue: pair[1]))
        let error: Int32 = await withCheckedContinuation { continuation in
            thread.post { thread.poll(.pollIn, near, DeviceIO { continuation.resume(returning: $0.errno) }) }
            thread.post { _ = try? far.writeAll([42]) }
        }
        #expect(error == 0)
        var byte: UInt8 = 0
        #expect(try withUnsafeMutableBytes(of: &byte) { try near.read(into: $0) } == 1 && byte == 42)
        let gone: Int32 = await withCheckedContinuation { continuation in
            thread.post { thread.poll(.pollIn, near, DeviceIO { continuation.resume(returning: $0.errno) }) }
            thread.post { try? far.close() }
        }
        #expect(gone == 0)
        try near.close()
        thread.stop()
    }

    @Test("hears a descriptor while transfers of a file in memory follow each other", arguments: EngineKind.available)
    func callsLeaveTime(kind: EngineKind) async throws {
        let path = try directory.image("image", bytes: 1 << 20)
        let device = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
        let thread = try QueueThread(name: "test", engine: Self.choice(kind))
        var pair: [Int32] = [-1, -1]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
        let (near, far) = (FileDescriptor(rawValue: pair[0]), FileDescriptor(rawValue: pair[1]))
        let transfers: Int = await withCheckedContinuation { continuation in
            thread.post {
                guard let buffer = thread.memory.take(bytes: 4096) else { return }
                var transfers = 0
                var heard = false
                let read = DeviceIO { read in
                    transfers += 1
                    // The descriptor speaks when the reads have taken over.
                    if transfers == 100 { _ = try? far.writeAll([42]) }
                    if !heard { return thread.start(read, on: device) }
                    thread.memory.give(buffer)
                    continuation.resume(returning: transfers)
                }
                read.describe(.read, sector: 8, count: 8, memory: buffer.slice)
                thread.start(read, on: device)
                thread.poll(.pollIn, near, DeviceIO { _ in heard = true })
            }
        }
        #expect(transfers > 100)
        try near.close()
        try far.close()
        device.close()
        thread.stop()
    }

    @Test("runs timers in the order of their times, and none that was cancelled", arguments: EngineKind.available)
    func timers(kind: EngineKind) async throws {
        let thread = try QueueThread(name: "test", engine: Self.choice(kind))
        let order: [Int] = await withCheckedContinuation { continuation in
            thread.post {
                var seen: [Int] = []
                thread.after(nanoseconds: 3_000_000) {
                    seen.append(3)
                    continuation.resume(returning: seen)
                }
                thread.after(nanoseconds: 1_000_000) { seen.append(1) }
                let dropped = thread.after(nanoseconds: 2_000_000) { seen.append(2) }
                thread.cancel(timer: dropped)
            }
        }
        #expect(order == [1, 3])
        thread.stop()
    }

    private final class Seen: Sendable {
        let numbers = Mutex<[[Int]]>(Array(repeating: [], count: 4))
    }

    @Test("does what is posted in order, from many threads at once", arguments: EngineKind.available)
    func posts(kind: EngineKind) throws {
        let thread = try QueueThread(name: "test", engine: Self.choice(kind))
        let seen = Seen()
        DispatchQueue.concurrentPerform(iterations: 4) { poster in
            for number in 0..<1000 { thread.post { seen.numbers.withLock { $0[poster].append(number) } } }
        }
        #expect(thread.sync { thread.isCurrent })
        #expect(seen.numbers.withLock { $0 } == Array(repeating: Array(0..<1000), count: 4))
        thread.stop()
    }

    @Test("keeps the memory of requests aligned and gives the same piece again", arguments: [5000, 600 << 10, 2 << 20])
    func memory(bytes: Int) throws {
        let thread = try QueueThread(name: "test")
        let result: (isAligned: Bool, isAgain: Bool, capacity: Int) = thread.sync {
            guard let first = thread.memory.take(bytes: bytes) else { return (false, false, 0) }
            let address = first.slice.address
            thread.memory.give(first)
            guard let second = thread.memory.take(bytes: bytes) else { return (false, false, 0) }
            defer { thread.memory.give(second) }
            return (Int(bitPattern: address) % 4096 == 0, second.slice.address == address, second.capacity)
        }
        #expect(result.isAligned && result.isAgain)
        #expect(result.capacity >= bytes && result.capacity < bytes * 2)
        thread.stop()
    }
}
