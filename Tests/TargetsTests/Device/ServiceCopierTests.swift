import BlockIO
import Glibc
import KCopy
import SystemPackage
import TestSupport
import Testing

@testable import Targets

@Suite("The copy service of targets")
struct ServiceCopierTests {
    private typealias Ends = (readError: Bool, writeErrors: UInt32)

    private func copier(_ fixture: ThreadFixture, pages: Int = 64) async throws -> ThreadBound<any ChunkCopier> {
        let host = fixture.host
        return try await ThreadBound<any ChunkCopier>.make(on: fixture.thread) { () throws(TargetError) in
            try host.value.environment.makeCopier(pages: pages, name: "test", priority: .copyOnWrite)
        }
    }

    private func destroy(_ copier: ThreadBound<any ChunkCopier>) async {
        await withCheckedContinuation { continuation in
            copier.post { $0.destroy { continuation.resume() } }
        }
    }

    @Test("copies with one read to several places, lays data over it, and answers on the thread")
    func copies() async throws {
        let fixture = try await ThreadFixture()
        let data = Bytes.random(1 << 20, seed: 1)
        let paths = try (0..<3).map {
            try fixture.image("\($0)", $0 == 0 ? data : [UInt8](repeating: 0, count: 1 << 20))
        }
        let source = try await fixture.open(paths[0], isWritten: false)
        let first = try await fixture.open(paths[1])
        let second = try await fixture.open(paths[2])
        let copier = try await copier(fixture)
        let layer = Bytes.random(1024, seed: 2)
        let ends: Ends = await withCheckedContinuation { continuation in
            copier.post { copier in
                let memory = UnsafeMutableRawPointer.allocate(byteCount: 1024, alignment: 4096)
                memory.copyMemory(from: layer, byteCount: 1024)
                copier.copy(
                    from: source.value, sector: 16, count: 64,
                    to: [CopyDestination(first.value, 128), CopyDestination(second.value, 256)],
                    overlay: [OverlayStretch(sector: 8, count: 2, address: memory)]
                ) { readError, writeErrors in
                    #expect(fixture.thread.isCurrent)
                    memory.deallocate()
                    continuation.resume(returning: (readError, writeErrors))
                }
            }
        }
        #expect(!ends.readError && ends.writeErrors == 0)
        let expected = Bytes.replacing(
            Array(data[(16 * 512)..<(80 * 512)]), sector: 8, count: 2, from: layer)
        #expect(try Bytes.read(paths[1], at: 128 * 512, count: 64 * 512) == expected)
        #expect(try Bytes.read(paths[2], at: 256 * 512, count: 64 * 512) == expected)
        await destroy(copier)
        for device in [source, first, second] { await device.read { $0.release() } }
        await fixture.end()
    }

    @Test("tells many copies apart that end in batches")
    func many() async throws {
        let fixture = try await ThreadFixture()
        let data = Bytes.random(1 << 20, seed: 3)
        let paths = [try fixture.image("a", data), try fixture.image("b", [UInt8](repeating: 0, count: 1 << 20))]
        let source = try await fixture.open(paths[0], isWritten: false)
        let destination = try await fixture.open(paths[1])
        let copier = try await copier(fixture)
        let ended: [Int] = await withCheckedContinuation { continuation in
            copier.post { copier in
                var ended: [Int] = []
                for number in 0..<128 {
                    copier.copy(
                        from: source.value, sector: UInt64(number) * 16, count: 16,
                        to: [CopyDestination(destination.value, UInt64(127 - number) * 16)], overlay: []
                    ) { readError, writeErrors in
                        if !readError, writeErrors == 0 { ended.append(number) }
                        if ended.count == 128 { continuation.resume(returning: ended) }
                    }
                }
            }
        }
        #expect(ended.sorted() == Array(0..<128))
        let expected = (0..<128).reversed().flatMap { data[($0 * 8192)..<(($0 + 1) * 8192)] }
        #expect(Bytes.difference(try Bytes.read(paths[1], count: 1 << 20), expected) == nil)
        await destroy(copier)
        for device in [source, destination] { await device.read { $0.release() } }
        await fixture.end()
    }

    @Test("writes zeroes, and reports a place that does not exist as a failure of both sides")
    func zeroesAndRefusals() async throws {
        let fixture = try await ThreadFixture()
        let path = try fixture.image("a", Bytes.random(1 << 20, seed: 4))
        let device = try await fixture.open(path)
        let copier = try await copier(fixture)
        let failed: Bool = await withCheckedContinuation { continuation in
            copier.post { $0.zero(CopyDestination(device.value, 8), count: 16) { continuation.resume(returning: $0) } }
        }
        #expect(!failed)
        #expect(try Bytes.read(path, at: 4096, count: 8192) == [UInt8](repeating: 0, count: 8192))
        let ends: Ends = await withCheckedContinuation { continuation in
            copier.post { copier in
                var isInside = true
                copier.copy(
                    from: device.value, sector: 2048, count: 8, to: [CopyDestination(device.value, 0)], overlay: []
                ) {
                    #expect(!isInside)
                    continuation.resume(returning: ($0, $1))
                }
                isInside = false
            }
        }
        #expect(ends.readError && ends.writeErrors == 1)
        await destroy(copier)
        await device.read { $0.release() }
        await fixture.end()
    }

    @Test("reaches what a device has grown by")
    func growth() async throws {
        let fixture = try await ThreadFixture()
        let data = Bytes.random(4096, seed: 5)
        let path = try fixture.image("a", data)
        let device = try await fixture.open(path)
        let copier = try await copier(fixture)
        #expect(truncate(path, 1 << 20) == 0)
        let ends: Ends = await withCheckedContinuation { continuation in
            copier.post { copier in
                copier.copy(
                    from: device.value, sector: 0, count: 8, to: [CopyDestination(device.value, 1024)], overlay: []
                ) { continuation.resume(returning: ($0, $1)) }
            }
        }
        #expect(!ends.readError && ends.writeErrors == 0)
        #expect(try Bytes.read(path, at: 1024 * 512, count: 4096) == data)
        await destroy(copier)
        await device.read { $0.release() }
        await fixture.end()
    }

    @Test("refuses a budget that cannot be")
    func budget() async throws {
        let fixture = try await ThreadFixture()
        await #expect {
            _ = try await copier(fixture, pages: 0)
        } throws: { ($0 as? TargetError)?.errno == .invalidArgument }
        await fixture.end()
    }
}

@Suite("The environment of targets")
struct ThreadEnvironmentTests {
    @Test("does what blocks elsewhere and comes back, and what is to be later after the present call")
    func elsewhere() async throws {
        let fixture = try await ThreadFixture()
        let host = fixture.host
        let thread = fixture.thread
        let order: [String] = await withCheckedContinuation { continuation in
            host.post { host in
                var order: [String] = []
                host.environment.later { order.append("later") }
                let dropped = host.environment.after(nanoseconds: 1) { order.append("dropped") }
                host.environment.cancel(timer: dropped)
                host.environment.detached { () -> Result<Bool, TargetError> in
                    .success(thread.isCurrent)
                } then: { result in
                    order.append("\((try? result.get()) ?? true) \(thread.isCurrent)")
                    _ = host.environment.after(nanoseconds: 1_000) { continuation.resume(returning: order) }
                }
                order.append("now")
            }
        }
        #expect(order == ["now", "later", "false true"])
        await fixture.end()
    }
}
