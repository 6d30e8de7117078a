import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import BlockIO

@Suite("Stretches of data and holes")
struct StretchesTests {
    let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// An image of `count` pages of which some hold data.
    private func image(pages count: Int, data: [Range<Int>]) throws -> BlockDevice {
        let path = try directory.image("image", bytes: UInt64(count * 4096))
        for range in data {
            try Bytes.write([UInt8](repeating: 1, count: range.count * 4096), to: path, at: range.lowerBound * 4096)
        }
        return try BlockDevice.open(FilePath(path), access: .readOnly, claim: false)
    }

    private func stretches(
        _ device: BlockDevice, _ start: UInt64, _ count: UInt64, alignment: UInt64 = 1, limit: Int = 64
    ) -> [BlockDevice.Stretch] {
        device.stretches(in: SectorRange(start: start, count: count), alignment: alignment, limit: limit)
    }

    private func data(_ end: UInt64) -> BlockDevice.Stretch { .init(end: end, isHole: false) }
    private func hole(_ end: UInt64) -> BlockDevice.Stretch { .init(end: end, isHole: true) }

    @Test("of a sparse file alternate, the hole at its end included")
    func alternate() throws {
        let device = try image(pages: 100, data: [0..<2, 10..<11, 50..<60])
        #expect(stretches(device, 0, 800) == [data(16), hole(80), data(88), hole(400), data(480), hole(800)])
    }

    @Test("of a range that begins or ends inside one are cut to it")
    func cut() throws {
        let device = try image(pages: 100, data: [10..<20])
        #expect(stretches(device, 5, 20) == [hole(25)])
        #expect(stretches(device, 5, 90) == [hole(80), data(95)])
        #expect(stretches(device, 100, 30) == [data(130)])
        #expect(stretches(device, 100, 200) == [data(160), hole(300)])
        #expect(stretches(device, 300, 500) == [hole(800)])
        #expect(stretches(device, 5, 0) == [])
    }

    @Test(
        "fall on the alignment, counted from the range's start; holes get smaller, never larger",
        arguments: [1, 2, 8, 16, 24, 64] as [UInt64])
    func aligned(alignment: UInt64) throws {
        let ranges = [3..<4, 7..<12, 13..<14, 40..<41]
        let device = try image(pages: 100, data: ranges)
        for start in stride(from: 0 as UInt64, to: 120, by: 7) {
            let count = (800 - start) / alignment * alignment
            var position = start
            var isHole: Bool?
            for stretch in stretches(device, start, count, alignment: alignment, limit: .max) {
                #expect(stretch.end > position && stretch.end <= start + count)
                #expect((stretch.end - start) % alignment == 0)
                #expect(stretch.isHole != isHole, "neighbours of a kind are one")
                if stretch.isHole {
                    let pages = Int(position / 8)..<Int((stretch.end + 7) / 8)
                    #expect(!ranges.contains { $0.overlaps(pages) }, "no data in \(position)..<\(stretch.end)")
                }
                (position, isHole) = (stretch.end, stretch.isHole)
            }
            #expect(position == start + count)
        }
    }

    @Test("are as many as asked for at most; the next call goes on", arguments: [1, 2, 3, 7])
    func limited(limit: Int) throws {
        let device = try image(pages: 100, data: [0..<2, 10..<11, 50..<60, 70..<71])
        var position: UInt64 = 0
        var ends: [BlockDevice.Stretch] = []
        while position < 800 {
            let some = stretches(device, position, 800 - position, limit: limit)
            try #require(!some.isEmpty && some.count <= limit)
            ends += some
            position = some.last?.end ?? .max
        }
        #expect(ends == [data(16), hole(80), data(88), hole(400), data(480), hole(560), data(568), hole(800)])
    }

    @Test("of a file without holes, and of an empty range of it, are data")
    func noHoles() throws {
        let device = try image(pages: 10, data: [0..<10])
        #expect(stretches(device, 0, 80, alignment: 8) == [data(80)])
        #expect(stretches(device, 3, 5) == [data(8)])
    }

    @Test("of a file that is one hole are one hole")
    func onlyHole() throws {
        #expect(stretches(try image(pages: 10, data: []), 8, 72, alignment: 8) == [hole(80)])
    }

    @Test("of a block device are data, for it does not tell", .enabled(if: LoopDevice.isPossible))
    func blockDevice() throws {
        try LoopDevice.with(try directory.image("disk", bytes: 1 << 20)) { path in
            let device = try BlockDevice.open(FilePath(path), access: .readOnly, claim: false)
            defer { device.close() }
            #expect(stretches(device, 0, 2048, alignment: 8) == [data(2048)])
        }
    }

    @Test("of a file that has got shorter are data behind its end, which reading will miss")
    func shrunk() throws {
        let device = try image(pages: 10, data: [0..<10])
        #expect(Glibc.truncate(device.path, 4096) == 0)
        #expect(stretches(device, 0, 80) == [data(80)])
        #expect(stretches(device, 16, 64) == [data(80)])
        #expect(Glibc.truncate(device.path, 80 * 512) == 0)
        #expect(stretches(device, 0, 80) == [data(8), hole(80)])
    }
}
