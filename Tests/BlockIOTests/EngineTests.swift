import Dispatch
import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import BlockIO

@Suite("An engine")
struct EngineTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func device(_ contents: [UInt8]) throws -> BlockDevice {
        let path = try directory.image("image", contents: contents)
        return try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
    }

    @Test(
        "of both kinds is tested",
        .enabled(if: EngineKind.ringIsPossible, "io_uring is forbidden here: the blocking engine only"))
    func both() { #expect(EngineKind.available == [.uring, .blocking]) }

    @Test(
        "reads, writes, zeroes and flushes, in registered memory and in other", arguments: EngineKind.available,
        [true, false])
    func content(kind: EngineKind, registered: Bool) async throws {
        var expected = Bytes.random(1 << 20, seed: 1)
        let device = try device(expected)
        let driver = try EngineDriver(kind)
        defer { driver.shutdown() }
        let memory = try PageMemory(pages: 64)
        let data = Bytes.random(8192, seed: 2)
        (memory.base + 65536).copyMemory(from: data, byteCount: 8192)
        let (attached, slot) = driver.onQueue { io in (io.attach(device), registered ? io.attach(memory) : -1) }
        if kind == .uring { #expect(attached.slot >= 0 && (slot >= 0) == registered) }
        let results = await driver.perform(count: 4) { io in
            func slice(_ offset: Int) -> MemorySlice { MemorySlice(address: memory.base + offset, slot: slot) }
            io.start(IOOperation(.read, attached, offset: 12288, length: 16384, memory: slice(0)), token: 0)
            io.start(IOOperation(.write, attached, offset: 131_072, length: 8192, memory: slice(65536)), token: 1)
            io.start(IOOperation(.writeZeroes, attached, offset: 262_144, length: 65536), token: 2)
            io.start(IOOperation(.flush, attached), token: 3)
        }
        #expect(results == [0, 0, 0, 0])
        #expect(Array(UnsafeRawBufferPointer(start: memory.base, count: 16384)) == Array(expected[12288..<28672]))
        expected.replaceSubrange(131_072..<139_264, with: data)
        expected.replaceSubrange(262_144..<327_680, with: repeatElement(0, count: 65536))
        #expect(Bytes.difference(try Bytes.read(device.path, count: 1 << 20), expected) == nil)
        driver.onQueue { io in
            io.detach(attached)
            io.detach(memorySlot: slot)
        }
    }

    @Test("reads and writes a block device", .enabled(if: LoopDevice.isPossible), arguments: EngineKind.available)
    func blockDevice(kind: EngineKind) async throws {
        var expected = Bytes.random(1 << 20, seed: 1)
        try await LoopDevice.with(try directory.image("disk", contents: expected)) { path in
            let device = try BlockDevice.open(FilePath(path), access: .readWrite, claim: true)
            defer { device.close() }
            let driver = try EngineDriver(kind)
            defer { driver.shutdown() }
            let memory = try PageMemory(pages: 4)
            let (attached, slot) = driver.onQueue { io in (io.attach(device), io.attach(memory)) }
            let results = await driver.perform(count: 3) { io in
                let slice = MemorySlice(address: memory.base, slot: slot)
                io.start(
                    IOOperation(.read, attached, offset: 512, length: 16384, memory: slice), token: 0,
                    then: IOOperation(.write, attached, offset: 65536, length: 16384, memory: slice), token: 1)
                io.start(IOOperation(.writeZeroes, attached, offset: 262_144, length: 65536), token: 2)
            }
            #expect(results == [0, 0, 0])
            expected.replaceSubrange(65536..<81920, with: expected[512..<16896])
            expected.replaceSubrange(262_144..<327_680, with: repeatElement(0, count: 65536))
            #expect(Bytes.difference(try Bytes.read(path, count: 1 << 20), expected) == nil)
            driver.onQueue { io in io.detach(attached) }
        }
    }

    @Test("starts the second of a linked pair after the first, and not if that failed", arguments: EngineKind.available)
    func linked(kind: EngineKind) async throws {
        var expected = Bytes.random(256 << 10, seed: 1)
        let device = try device(expected)
        let driver = try EngineDriver(kind)
        defer { driver.shutdown() }
        let memory = try PageMemory(pages: 16)
        let attached = driver.onQueue { io in io.attach(device) }
        let results = await driver.perform(count: 32) { io in
            for pair in 0..<16 {
                let slice = MemorySlice(address: memory.base + pair * 4096, slot: -1)
                // The odd ones begin at the end of the file, where there is nothing to be read.
                let from = pair % 2 == 0 ? pair * 4096 : 256 << 10
                io.start(
                    IOOperation(.read, attached, offset: UInt64(from), length: 4096, memory: slice),
                    token: UInt64(pair),
                    then: IOOperation(
                        .write, attached, offset: UInt64(131_072 + pair * 4096), length: 4096, memory: slice),
                    token: UInt64(16 + pair))
            }
        }
        for pair in 0..<16 {
            #expect(results[pair] == (pair % 2 == 0 ? 0 : ENODATA))
            #expect(results[16 + pair] == (pair % 2 == 0 ? 0 : IOQueue.notStarted))
            if pair % 2 == 0 {
                expected.replaceSubrange(
                    131_072 + pair * 4096..<135_168 + pair * 4096, with: expected[pair * 4096..<(pair + 1) * 4096])
            }
        }
        #expect(Bytes.difference(try Bytes.read(device.path, count: 256 << 10), expected) == nil)
        driver.onQueue { io in io.detach(attached) }
    }

    @Test("ends at the new end of a file that has got shorter", arguments: EngineKind.available)
    func shrunk(kind: EngineKind) async throws {
        let contents = Bytes.random(64 << 10, seed: 1)
        let device = try device(contents)
        let driver = try EngineDriver(kind)
        defer { driver.shutdown() }
        let memory = try PageMemory(pages: 16)
        let attached = driver.onQueue { io in io.attach(device) }
        #expect(truncate(device.path, 20480) == 0)
        let results = await driver.perform(count: 2) { io in
            let slice = MemorySlice(address: memory.base, slot: -1)
            io.start(
                IOOperation(.read, attached, offset: 0, length: 65536, memory: slice), token: 0,
                then: IOOperation(.write, attached, offset: 0, length: 65536, memory: slice), token: 1)
        }
        #expect(results == [ENODATA, IOQueue.notStarted])
        #expect(try Bytes.read(device.path, count: 20480) == Array(contents[..<20480]))
        driver.onQueue { io in io.detach(attached) }
    }

    @Test("tells the system's error", arguments: EngineKind.available)
    func errors(kind: EngineKind) async throws {
        let path = try directory.image("image", contents: Bytes.random(4096, seed: 1))
        let device = try BlockDevice.open(FilePath(path), access: .readOnly, claim: false)
        let driver = try EngineDriver(kind)
        defer { driver.shutdown() }
        let memory = try PageMemory(pages: 1)
        let attached = driver.onQueue { io in io.attach(device) }
        let results = await driver.perform(count: 2) { io in
            let slice = MemorySlice(address: memory.base, slot: -1)
            io.start(IOOperation(.write, attached, offset: 0, length: 4096, memory: slice), token: 0)
            io.start(IOOperation(.writeZeroes, attached, offset: 0, length: 4096), token: 1)
        }
        #expect(results == [EBADF, EBADF])
        driver.onQueue { io in io.detach(attached) }
    }

    @Test("takes many more operations at once than it has room for", arguments: EngineKind.available)
    func many(kind: EngineKind) async throws {
        let contents = Bytes.random(2 << 20, seed: 1)
        let device = try device(contents)
        let driver = try EngineDriver(kind)
        defer { driver.shutdown() }
        let memory = try PageMemory(pages: 512)
        let (attached, slot) = driver.onQueue { io in (io.attach(device), io.attach(memory)) }
        let results = await driver.perform(count: 4096) { io in
            for index in 0..<4096 {
                io.start(
                    IOOperation(
                        .read, attached, offset: UInt64(index * 512), length: 512,
                        memory: MemorySlice(address: memory.base + index * 512, slot: slot)), token: UInt64(index))
            }
        }
        #expect(results.allSatisfy { $0 == 0 })
        #expect(Bytes.difference(Array(UnsafeRawBufferPointer(start: memory.base, count: 2 << 20)), contents) == nil)
        driver.onQueue { io in
            io.detach(attached)
            io.detach(memorySlot: slot)
        }
    }

    @Test(
        "serves more devices and memories than it has places for, and gives places out again",
        arguments: EngineKind.available)
    func places(kind: EngineKind) async throws {
        let contents = Bytes.random(4096, seed: 1)
        let device = try device(contents)
        let driver = try EngineDriver(kind)
        defer { driver.shutdown() }
        for _ in 0..<3 {
            let memories = try (0..<1100).map { _ in try PageMemory(pages: 1) }
            let (devices, slots) = driver.onQueue { io in
                ((0..<300).map { _ in io.attach(device) }, memories.map { io.attach($0) })
            }
            if kind == .uring {
                #expect(devices.map(\.slot).contains(-1) && devices.map(\.slot).max() == 255)
                #expect(slots.contains(-1))
            }
            let results = await driver.perform(count: 1100) { io in
                for (index, memory) in memories.enumerated() {
                    io.start(
                        IOOperation(
                            .read, devices[index % devices.count], offset: 0, length: 4096,
                            memory: MemorySlice(address: memory.base, slot: slots[index])), token: UInt64(index))
                }
            }
            #expect(results.allSatisfy { $0 == 0 })
            #expect(memories.allSatisfy { Array(UnsafeRawBufferPointer(start: $0.base, count: 4096)) == contents })
            driver.onQueue { io in
                for device in devices { io.detach(device) }
                for slot in slots { io.detach(memorySlot: slot) }
            }
        }
    }

    @Test("lets go of a descriptor: the claim is free as soon as the device is closed", arguments: EngineKind.available)
    func detach(kind: EngineKind) async throws {
        let device = try device(Bytes.random(65536, seed: 1))
        let driver = try EngineDriver(kind)
        defer { driver.shutdown() }
        let memory = try PageMemory(pages: 16)
        let attached = driver.onQueue { io in io.attach(device) }
        let results = await driver.perform(count: 1) { io in
            io.start(
                IOOperation(.read, attached, length: 65536, memory: MemorySlice(address: memory.base, slot: -1)),
                token: 0)
        }
        #expect(results == [0])
        driver.onQueue { io in io.detach(attached) }
        try closeAndClaim(device, device.path)
        #expect(OpenDescriptors.count(of: device.path) == 0)
    }

    @Test("ends a wait when it is interrupted, also before the wait", arguments: EngineKind.available)
    func interrupt(kind: EngineKind) throws {
        let driver = try EngineDriver(kind)
        defer { driver.shutdown() }
        let start = DispatchTime.now()
        for round in 0..<20 {
            if round % 2 == 0 {
                driver.io.interrupt()
                _ = driver.onQueue { io in io.wait(count: 1, nanoseconds: 999_000_000) }
            } else {
                let queue = driver.queue
                let waits = DispatchGroup()
                queue.async(group: waits) { _ = driver.io.wait(count: 1, nanoseconds: 999_000_000) }
                driver.io.interrupt()
                waits.wait()
            }
        }
        #expect(DispatchTime.now().uptimeNanoseconds - start.uptimeNanoseconds < 10_000_000_000)
    }

    @Test("tells after a wait in vain that something has come", arguments: EngineKind.available)
    func readyAfterWait(kind: EngineKind) async throws {
        let device = try device(Bytes.random(65536, seed: 1))
        let driver = try EngineDriver(kind)
        defer { driver.shutdown() }
        let memory = try PageMemory(pages: 16)
        let attached = driver.onQueue { io in
            _ = io.wait(count: 1, nanoseconds: 1000)
            return io.attach(device)
        }
        for _ in 0..<100 {
            let results = await driver.perform(count: 1) { io in
                io.start(
                    IOOperation(.read, attached, length: 65536, memory: MemorySlice(address: memory.base, slot: -1)),
                    token: 0)
            }
            #expect(results == [0])
            driver.onQueue { io in while io.wait(count: 1, nanoseconds: 1000) {} }
        }
        driver.onQueue { io in io.detach(attached) }
    }
}
