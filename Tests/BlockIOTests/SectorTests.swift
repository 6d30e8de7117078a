import SystemPackage
import Testing

@testable import BlockIO

@Suite("A range of sectors")
struct SectorRangeTests {
    @Test(
        "overlaps another one exactly if they share a sector",
        arguments: [
            (0, 8, 8, 8, false), (0, 9, 8, 8, true), (8, 8, 0, 8, false), (7, 1, 0, 8, true), (3, 2, 0, 100, true),
            (5, 0, 0, 100, false), (0, 0, 0, 0, false), (5, 5, 5, 5, true),
            (.max - 1, 1, .max - 2, 1, false), (.max - 1, 1, .max - 2, 2, true),
        ] as [(UInt64, UInt64, UInt64, UInt64, Bool)])
    func overlap(start: UInt64, count: UInt64, otherStart: UInt64, otherCount: UInt64, expected: Bool) {
        let range = SectorRange(start: start, count: count)
        let other = SectorRange(start: otherStart, count: otherCount)
        #expect(range.overlaps(other) == expected)
        #expect(other.overlaps(range) == expected)
    }

    @Test("that ends behind the largest number ends at it")
    func saturation() {
        #expect(SectorRange(start: .max - 3, count: 10).end == .max)
        #expect(SectorRange(start: 3, count: 10).end == 13)
        #expect(SectorRange(start: .max - 3, count: 10).overlaps(SectorRange(start: .max - 1, count: 1)))
    }
}

@Suite("A device's identity")
struct DeviceIdentityTests {
    private func number(_ text: String) throws -> DeviceNumber { try #require(DeviceNumber(text)) }

    @Test("makes a partition a stretch of its disk")
    func partitions() throws {
        let disk = DeviceIdentity(space: .disk(try number("8:0")))
        let first = DeviceIdentity(space: .disk(try number("8:0")), start: 2048)
        let second = DeviceIdentity(space: .disk(try number("8:0")), start: 2048 + 4096)
        let all = SectorRange(start: 0, count: 4096)
        #expect(disk.overlaps(SectorRange(start: 2048, count: 1), first, all))
        #expect(first.overlaps(all, disk, SectorRange(start: 6143, count: 1)))
        #expect(!disk.overlaps(SectorRange(start: 0, count: 2048), first, all))
        #expect(!disk.overlaps(SectorRange(start: 6144, count: 100), first, all))
        #expect(!first.overlaps(all, second, all))
        #expect(first.overlaps(SectorRange(start: 0, count: 4097), second, SectorRange(start: 0, count: 1)))
    }

    @Test("keeps devices, files and file systems apart")
    func spaces() throws {
        let range = SectorRange(start: 0, count: 100)
        let disk = DeviceIdentity(space: .disk(try number("8:0")))
        let other = DeviceIdentity(space: .disk(try number("8:16")))
        let file = DeviceIdentity(space: .file(try number("8:0"), inode: 5))
        let neighbour = DeviceIdentity(space: .file(try number("8:0"), inode: 6))
        let twin = DeviceIdentity(space: .file(try number("8:16"), inode: 5))
        #expect(disk.overlaps(range, disk, range))
        #expect(!disk.overlaps(range, other, range))
        #expect(!disk.overlaps(range, file, range))
        #expect(!file.overlaps(range, neighbour, range))
        #expect(!file.overlaps(range, twin, range))
    }

    @Test("does not wrap around at the largest number")
    func noWrap() throws {
        let disk = DeviceIdentity(space: .disk(try number("8:0")))
        let partition = DeviceIdentity(space: .disk(try number("8:0")), start: 2048)
        #expect(!partition.overlaps(SectorRange(start: .max, count: 1), disk, SectorRange(start: 2047, count: 1)))
    }

    @Test("has numbers only of the form major:minor", arguments: ["", "8", "8:", ":0", "8:0:1", "a:b", "-1:0", " 8:0"])
    func noNumber(text: String) {
        #expect(DeviceNumber(text) == nil)
    }
}

@Suite("Page memory")
struct PageMemoryTests {
    @Test("is zeroed, writable to its last byte and begins at a page", arguments: [1, 3, 511, 512, 513, 2048])
    func memory(pages: Int) throws {
        let memory = try PageMemory(pages: pages)
        #expect(memory.length == pages * 4096)
        #expect(Int(bitPattern: memory.base) % 4096 == 0)
        let bytes = UnsafeMutableRawBufferPointer(start: memory.base, count: memory.length)
        #expect(bytes.allSatisfy { $0 == 0 })
        bytes.initializeMemory(as: UInt8.self, repeating: 0xA5)
        #expect(bytes.last == 0xA5)
    }

    @Test("of 2 MiB and more begins at a huge page", arguments: [512, 700])
    func hugePages(pages: Int) throws {
        #expect(Int(bitPattern: try PageMemory(pages: pages).base) % (2 << 20) == 0)
    }

    @Test("that the system cannot give is an error with its size")
    func tooMuch() throws {
        let error = #expect(throws: BlockError.self) { _ = try PageMemory(pages: 1 << 40) }
        #expect(error?.errno == .noMemory)
        #expect(error?.object == "\(1 << 40) pages")
    }

    @Test("is given back")
    func givenBack() throws {
        let before = try mappedKiB()
        for _ in 0..<200 { _ = try PageMemory(pages: 2048) }
        #expect(try mappedKiB() - before < 200 * 8192 / 2)
    }

    /// VmSize in KiB, from proc(5).
    private func mappedKiB() throws -> Int {
        let text = try #require(readText("/proc/self/status"))
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("VmSize:") })
        return try #require(line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) })
    }
}
