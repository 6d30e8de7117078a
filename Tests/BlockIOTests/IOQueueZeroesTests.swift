import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import BlockIO

@Suite("Writing zeroes")
struct IOQueueZeroesTests {
    /// Answers writes until there are none; their lengths.
    private func answerWrites(_ fixture: QueueFixture) -> [Int] {
        var lengths: [Int] = []
        while let prepared = fixture.engine.take(.write) {
            lengths.append(prepared.operation.length)
            fixture.engine.answer((prepared, .all))
        }
        return lengths
    }

    private func expectZeroes(_ fixture: QueueFixture, _ range: Range<Int>) {
        var expected = Bytes.random(1 << 20, seed: 1)
        expected.replaceSubrange(range, with: repeatElement(0, count: range.count))
        #expect(Bytes.difference(fixture.engine.device, expected) == nil)
    }

    @Test("is left to a device that does it, and ends at its answer")
    func device() throws {
        let fixture = try QueueFixture()
        fixture.queue.start(fixture.operation(.writeZeroes, 8192, 700 << 10), token: 1)
        fixture.engine.answer((try #require(fixture.engine.take(.writeZeroes)), .all))
        #expect(fixture.client.ends == [fixture.end(1, 0)])
        expectZeroes(fixture, 8192..<8192 + 700 << 10)
    }

    @Test("that a device refuses at run time is done by writing, in chunks, and the refusal is remembered")
    func refused() throws {
        let fixture = try QueueFixture()
        fixture.queue.start(fixture.operation(.writeZeroes, 8192, 700 << 10), token: 1)
        fixture.engine.answer((try #require(fixture.engine.take(.writeZeroes)), .error(EOPNOTSUPP)))
        #expect(fixture.client.ends == [])
        #expect(answerWrites(fixture) == [256 << 10, 256 << 10, 188 << 10])
        #expect(fixture.client.ends == [fixture.end(1, 0)])
        expectZeroes(fixture, 8192..<8192 + 700 << 10)

        fixture.queue.start(fixture.operation(.writeZeroes, 0, 4096), token: 2)
        #expect(fixture.engine.prepared.map(\.operation.kind) == [.write])
        var other = fixture.operation(.writeZeroes, 0, 4096)
        other.device.descriptor = -8
        fixture.queue.start(other, token: 3)
        #expect(fixture.engine.prepared.map(\.operation.kind) == [.write, .writeZeroes])
    }

    @Test("that fails otherwise is done by writing this time", arguments: [EIO, EINVAL, EBUSY, EINTR, ECANCELED])
    func failed(error: Int32) throws {
        let fixture = try QueueFixture()
        fixture.queue.start(fixture.operation(.writeZeroes, 0, 4096), token: 1)
        fixture.engine.answer((try #require(fixture.engine.take(.writeZeroes)), .error(error)))
        #expect(answerWrites(fixture) == [4096])
        #expect(fixture.client.ends == [fixture.end(1, 0)])
        expectZeroes(fixture, 0..<4096)
        fixture.queue.start(fixture.operation(.writeZeroes, 0, 4096), token: 2)
        #expect(fixture.engine.prepared.map(\.operation.kind) == [.writeZeroes])
    }

    @Test("ends with the error of writing where that fails too, and short writes go on")
    func writeFails() throws {
        let fixture = try QueueFixture()
        fixture.queue.start(fixture.operation(.writeZeroes, 0, 8192), token: 1)
        fixture.engine.answer((try #require(fixture.engine.take(.writeZeroes)), .error(EOPNOTSUPP)))
        fixture.engine.answer((try #require(fixture.engine.take(.write)), .bytes(512)))
        let rest = try #require(fixture.engine.take(.write))
        #expect(rest.operation.offset == 512 && rest.operation.length == 8192 - 512)
        fixture.engine.answer((rest, .error(ENOSPC)))
        #expect(fixture.client.ends == [fixture.end(1, ENOSPC)])
    }

    @Test("is asked of a device anew after it was detached")
    func forgotten() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.image("image", bytes: 1 << 20)
        let device = try BlockDevice.open(FilePath(path), access: .readWrite, claim: false)
        let fixture = try QueueFixture()
        for token in 0..<2 as Range<UInt64> {
            let attached = fixture.queue.attach(device)
            var operation = fixture.operation(.writeZeroes, 0, 4096)
            operation.device = attached
            fixture.queue.start(operation, token: token)
            fixture.engine.answer((try #require(fixture.engine.take(.writeZeroes)), .error(EOPNOTSUPP)))
            #expect(answerWrites(fixture) == [4096])
            fixture.queue.detach(attached)
        }
    }

    @Test("is not asked of a device that says it cannot")
    func unable() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.image("image", bytes: 1 << 20)
        let descriptor = try FileDescriptor.open(FilePath(path), .readWrite, options: [.closeOnExec])
        var geometry = try DeviceGeometry.probe(
            descriptor, path: path, kind: .imageFile, status: try FileStatus(of: descriptor, path: path))
        geometry.canWriteZeroes = false
        let device = BlockDevice(
            path: path, kind: .imageFile, access: .readWrite, geometry: geometry,
            identity: DeviceIdentity(kind: .imageFile, status: try FileStatus(of: descriptor, path: path)),
            descriptor: descriptor, claim: nil)
        let fixture = try QueueFixture()
        var operation = fixture.operation(.writeZeroes, 0, 4096)
        operation.device = fixture.queue.attach(device)
        fixture.queue.start(operation, token: 1)
        #expect(fixture.engine.prepared.map(\.operation.kind) == [.write])
    }
}
