/// The memory that a queue thread keeps for the data of requests: page-aligned, registered with its ring, handed out in
/// powers of two, kept for the next request. Belongs to its thread.
public final class RequestMemory {
    /// A piece of it.
    public struct Buffer {
        /// What transfers are told.
        public let slice: MemorySlice
        /// Its size in bytes.
        public let capacity: Int
        fileprivate let sizeClass: Int
        /// The pool it alone takes up, for the largest.
        fileprivate let own: Pool?
    }

    fileprivate final class Pool {
        let memory: PageMemory
        let slot: Int32

        init(_ memory: PageMemory, slot: Int32) {
            self.memory = memory
            self.slot = slot
        }
    }

    /// Sizes are 4 KiB times 2 to the power of 0 to 7 (512 KiB), cut out of pools of 2 MiB; larger ones are pools by themselves.
    private static let classes = 8
    private static let poolPages = 512

    private unowned let thread: QueueThread
    private var pools: [Pool] = []
    private var free: [[Buffer]] = Array(repeating: [], count: RequestMemory.classes)

    init(thread: QueueThread) {
        self.thread = thread
    }

    /// Takes memory for `bytes`; nil where the system has none.
    public func take(bytes: Int) -> Buffer? {
        let pages = max(1, (bytes + Page.size - 1) / Page.size)
        let sizeClass = pages == 1 ? 0 : Int.bitWidth - (pages - 1).leadingZeroBitCount
        guard sizeClass < Self.classes else { return large(pages) }
        if free[sizeClass].isEmpty { refill(sizeClass) }
        return free[sizeClass].popLast()
    }

    /// Gives memory back.
    public func give(_ buffer: Buffer) {
        if let own = buffer.own {
            thread.detach(memorySlot: own.slot)
            own.memory.release()
        } else {
            free[buffer.sizeClass].append(buffer)
        }
    }

    private func large(_ pages: Int) -> Buffer? {
        guard let pool = makePool(pages) else { return nil }
        return Buffer(
            slice: MemorySlice(address: pool.memory.base, slot: pool.slot), capacity: pool.memory.length,
            sizeClass: Self.classes, own: pool)
    }

    private func refill(_ sizeClass: Int) {
        guard let pool = makePool(Self.poolPages) else { return }
        pools.append(pool)
        let size = Page.size << sizeClass
        for offset in stride(from: 0, to: pool.memory.length, by: size).reversed() {
            let slice = MemorySlice(address: pool.memory.base + offset, slot: pool.slot)
            free[sizeClass].append(Buffer(slice: slice, capacity: size, sizeClass: sizeClass, own: nil))
        }
    }

    private func makePool(_ pages: Int) -> Pool? {
        guard let memory = try? PageMemory(pages: pages) else { return nil }
        return Pool(memory, slot: thread.attach(memory))
    }

    /// Gives everything back; no buffer may be out.
    func release() {
        free = Array(repeating: [], count: Self.classes)
        for pool in pools {
            thread.detach(memorySlot: pool.slot)
            pool.memory.release()
        }
        pools = []
    }
}
