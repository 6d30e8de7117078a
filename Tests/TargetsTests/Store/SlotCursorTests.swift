import Testing

@testable import Targets

@Suite("The place where a store goes on")
struct SlotCursorTests {
    /// Allocates and places one exception after the other until the store is full.
    private func fill(chunk: UInt64, sectors: UInt64, most: Int = .max) -> (cursor: SlotCursor, chunks: [UInt64]) {
        var cursor = SlotCursor(geometry: StoreGeometry(chunkSectors: chunk))
        var chunks: [UInt64] = []
        while chunks.count < most, let new = cursor.allocate(sectors: sectors) {
            chunks.append(new)
            cursor.place(1)
        }
        return (cursor, chunks)
    }

    @Test(
        "gives the 512th exception of 16-sector chunks chunk 513, steps over the area, and counts usage as the kernel does"
    )
    func vectors() {
        let (before, _) = fill(chunk: 16, sectors: 204_800, most: 511)
        #expect(before.allocatedSectors == 8208 && before.metadataSectors == 32)
        let (cursor, chunks) = fill(chunk: 16, sectors: 204_800, most: 512)
        #expect(chunks.last == 513)
        #expect(cursor.nextFree == 515)
        #expect(cursor.area == 1 && cursor.used == 0)
        #expect(cursor.allocatedSectors == 8240 && cursor.metadataSectors == 48)
    }

    @Test("a fresh store of 16-sector chunks uses 32 sectors")
    func fresh() {
        let cursor = SlotCursor(geometry: StoreGeometry(chunkSectors: 16))
        #expect(cursor.allocatedSectors == 32 && cursor.metadataSectors == 32)
    }

    @Test("a store of 3 chunks takes exactly one exception; a part of a chunk more makes no difference")
    func smallest() {
        #expect(fill(chunk: 8, sectors: 24).chunks == [2])
        #expect(fill(chunk: 8, sectors: 31).chunks == [2])
        #expect(fill(chunk: 8, sectors: 23).chunks == [])
        #expect(fill(chunk: 8, sectors: 32).chunks == [2, 3])
    }

    @Test("leaves the last slot of an area empty where the next area does not fit")
    func lastSlot() {
        let (cursor, chunks) = fill(chunk: 8, sectors: 258 * 8)
        #expect(chunks == Array(2...256))
        #expect(cursor.area == 0 && cursor.used == 255)
        #expect(!cursor.canAllocate(sectors: 258 * 8))
        // One chunk more is the next area: the last slot can be used, and nothing further.
        #expect(fill(chunk: 8, sectors: 259 * 8).chunks == Array(2...257))
        #expect(fill(chunk: 8, sectors: 260 * 8).chunks == Array(2...257) + [259])
    }

    @Test("the rule holds for exceptions in flight, and a store that grows goes on")
    func inFlight() {
        var cursor = SlotCursor(geometry: StoreGeometry(chunkSectors: 8))
        var count = 0
        while cursor.allocate(sectors: 258 * 8) != nil { count += 1 }
        #expect(count == 255 && cursor.inFlight == 255)
        let last = cursor.allocate(sectors: 259 * 8)
        #expect(last == 257)
        #expect(cursor.nextFree == 259)
        cursor.place(100)
        #expect(cursor.roomInArea == 156)
        cursor.place(156)
        #expect(cursor.area == 1 && cursor.used == 0 && cursor.inFlight == 0)
    }

    @Test("a chunk that was given up leaves its slot to the next")
    func abandoned() {
        var cursor = SlotCursor(geometry: StoreGeometry(chunkSectors: 8))
        let first = cursor.allocate(sectors: 4096)
        cursor.abandon(1)
        let second = cursor.allocate(sectors: 4096)
        #expect(first == 2 && second == 3)
        cursor.place(1)
        #expect(cursor.used == 1)
    }

    @Test("a merge to the end leaves 32 sectors in use")
    func merged() {
        var (cursor, _) = fill(chunk: 16, sectors: 204_800, most: 514)
        cursor.clear(1)
        #expect(cursor.nextFree == 516)
        cursor.clear(1)
        #expect(cursor.nextFree == 515)
        let hasPrevious = cursor.retreat()
        #expect(hasPrevious)
        #expect(cursor.area == 0 && cursor.used == 512)
        #expect(!cursor.canAllocate(sectors: 204_800))
        cursor.clear(500)
        #expect(cursor.nextFree == 14)
        cursor.clear(12)
        let hasMore = cursor.retreat()
        #expect(!hasMore)
        #expect(cursor.allocatedSectors == 32 && cursor.metadataSectors == 32)
    }
}
