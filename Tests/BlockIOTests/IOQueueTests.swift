import Glibc
import TestSupport
import Testing

@testable import BlockIO

/// A queue on a scripted engine with a device of 1 MiB and memory of the same size.
struct QueueFixture {
    let engine = ScriptedEngine()
    let client = EndRecorder()
    let queue: IOQueue
    let memory: PageMemory
    let device = AttachedDevice(descriptor: -7, slot: -1)

    init() throws {
        engine.device = Bytes.random(1 << 20, seed: 1)
        queue = IOQueue(engine: engine)
        memory = try PageMemory(pages: 256)
        queue.client = client
    }

    func operation(_ kind: IOOperation.Kind, _ offset: Int, _ length: Int, at address: Int = 0) -> IOOperation {
        let hasMemory = kind == .read || kind == .write
        return IOOperation(
            kind, device, offset: UInt64(offset), length: length,
            memory: hasMemory ? MemorySlice(address: memory.base + address, slot: 3) : nil)
    }

    func bytes(_ offset: Int, _ count: Int) -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: memory.base + offset, count: count))
    }

    func fill(_ bytes: [UInt8]) { memory.base.copyMemory(from: bytes, byteCount: bytes.count) }

    func end(_ token: UInt64, _ errno: Int32) -> EndRecorder.End { EndRecorder.End(token, errno) }
}

@Suite("An I/O queue")
struct IOQueueTests {
    @Test("continues short reads where they ended", arguments: [[512, 512], [1, 8190], [4096], [100, 200, 300]])
    func shortRead(cuts: [Int]) throws {
        let fixture = try QueueFixture()
        fixture.queue.start(fixture.operation(.read, 4096, 8192, at: 4096), token: 5)
        var done = 0
        for cut in cuts {
            let prepared = try #require(fixture.engine.take(.read))
            fixture.engine.answer((prepared, .bytes(cut)))
            done += cut
            #expect(fixture.client.ends == [])
            let rest = try #require(fixture.engine.prepared.first?.operation)
            #expect(rest.offset == UInt64(4096 + done))
            #expect(rest.length == 8192 - done)
            #expect(rest.memory?.address == fixture.memory.base + 4096 + done)
            #expect(rest.memory?.slot == 3)
        }
        fixture.engine.answer((try #require(fixture.engine.take(.read)), .all))
        #expect(fixture.client.ends == [fixture.end(5, 0)])
        #expect(fixture.bytes(4096, 8192) == Array(fixture.engine.device[4096..<12288]))
        #expect(fixture.queue.inFlight == 0)
    }

    @Test("continues short writes where they ended", arguments: [[512, 512], [1, 8190], [4096], [100, 200, 300]])
    func shortWrite(cuts: [Int]) throws {
        let fixture = try QueueFixture()
        let data = Bytes.random(8192, seed: 9)
        fixture.fill(data)
        var expected = fixture.engine.device
        expected.replaceSubrange(4096..<12288, with: data)
        fixture.queue.start(fixture.operation(.write, 4096, 8192), token: 5)
        for cut in cuts {
            fixture.engine.answer((try #require(fixture.engine.take(.write)), .bytes(cut)))
            #expect(fixture.client.ends == [])
        }
        fixture.engine.answer((try #require(fixture.engine.take(.write)), .all))
        #expect(fixture.client.ends == [fixture.end(5, 0)])
        #expect(fixture.engine.device == expected)
    }

    @Test(
        "starts interrupted operations again, and gives up when that leads nowhere",
        arguments: [EINTR, EAGAIN, ECANCELED])
    func restarted(error: Int32) throws {
        let fixture = try QueueFixture()
        fixture.queue.start(fixture.operation(.read, 0, 4096), token: 1)
        for _ in 0..<50 { fixture.engine.answer((try #require(fixture.engine.take(.read)), .error(error))) }
        fixture.engine.answer((try #require(fixture.engine.take(.read)), .bytes(512)))
        var attempts = 0
        while fixture.client.ends.isEmpty, attempts < 1000 {
            let prepared = try #require(fixture.engine.take(.read))
            #expect(prepared.operation.offset == 512)
            fixture.engine.answer((prepared, .error(error)))
            attempts += 1
        }
        #expect(attempts == 64)
        #expect(fixture.client.ends == [fixture.end(1, error)])
        #expect(fixture.engine.prepared.isEmpty)
    }

    @Test("tells other errors at once", arguments: [EIO, ENOSPC, EINVAL, ENXIO, EBADF])
    func failed(error: Int32) throws {
        for kind in [IOOperation.Kind.read, .write, .flush] {
            let fixture = try QueueFixture()
            fixture.queue.start(fixture.operation(kind, 0, 4096), token: 1)
            fixture.engine.answer((try #require(fixture.engine.take(kind)), .error(error)))
            #expect(fixture.client.ends == [fixture.end(1, error)])
        }
    }

    @Test("takes 0 bytes for the end of the device: ENODATA for reads, ENOSPC for writes")
    func shrunk() throws {
        for (kind, error) in [(IOOperation.Kind.read, ENODATA), (.write, ENOSPC)] {
            let fixture = try QueueFixture()
            fixture.queue.start(fixture.operation(kind, 0, 4096), token: 1)
            fixture.engine.answer((try #require(fixture.engine.take(kind)), .bytes(1024)))
            fixture.engine.answer((try #require(fixture.engine.take(kind)), .bytes(0)))
            #expect(fixture.client.ends == [fixture.end(1, error)])
        }
    }

    @Test("tells the ends of a batch in order, and then its end")
    func batch() throws {
        let fixture = try QueueFixture()
        for token in 0..<4 { fixture.queue.start(fixture.operation(.read, token * 4096, 4096), token: UInt64(token)) }
        #expect(fixture.queue.inFlight == 4)
        let taken = try (0..<4).map { _ in try #require(fixture.engine.take(.read)) }
        fixture.engine.answer((taken[2], .all), (taken[0], .error(EIO)), (taken[3], .bytes(5)), (taken[1], .all))
        #expect(fixture.client.ends == [fixture.end(2, 0), fixture.end(0, EIO), fixture.end(1, 0)])
        #expect(fixture.client.batches == 1)
        #expect(fixture.queue.inFlight == 1)
        fixture.engine.onReady?()
        #expect(fixture.client.readies == 1)
    }

    @Test("starts what its client asks for while it is told ends")
    func reentrant() throws {
        final class Chain: IOQueueClient {
            var left = 20
            var fixture: QueueFixture?
            func operationEnded(token: UInt64, errno: Int32) {
                guard left > 0, let fixture else { return }
                left -= 1
                fixture.queue.start(fixture.operation(.read, 0, 512), token: token + 1)
            }
            func batchEnded() {}
            func ready() {}
        }
        let fixture = try QueueFixture()
        let chain = Chain()
        chain.fixture = fixture
        fixture.queue.client = chain
        fixture.queue.start(fixture.operation(.read, 0, 512), token: 0)
        while let prepared = fixture.engine.take(.read) { fixture.engine.answer((prepared, .all)) }
        #expect(chain.left == 0)
        #expect(fixture.queue.inFlight == 0)
    }

    @Test("gives its memory back at the end")
    func shutdown() throws {
        let fixture = try QueueFixture()
        let slot = fixture.queue.attach(fixture.memory)
        #expect(fixture.engine.slots.count == 1)
        // The queue's own memory comes with the first zeroes that it has to write.
        fixture.queue.start(fixture.operation(.writeZeroes, 0, 512), token: 0)
        fixture.engine.answer((try #require(fixture.engine.take(.writeZeroes)), .error(EOPNOTSUPP)))
        #expect(fixture.engine.slots.count == 2)
        fixture.engine.answer((try #require(fixture.engine.take(.write)), .all))
        fixture.queue.detach(memorySlot: slot)
        fixture.queue.shutdown()
        #expect(fixture.engine.slots.isEmpty)
    }
}
