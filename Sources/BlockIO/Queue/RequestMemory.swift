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
        /// The pool it alone takes up, for those that are not cut out of a common one.
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

    /// Sizes are 4 KiB times 2 to the power of 0 to 9 (2 MiB). Up to 512 KiB they are cut out of pools of 2 MiB, which stay;
    /// larger ones are pools by themselves, of which so many bytes are kept while nobody uses them. Memory for more than
    /// 2 MiB is made for the request: to set it up costs no more than to fill it.
    private static let classes = 10
    private static let commonClasses = 8
    private static let poolPages = 512
    private static let mostKept = 32 << 20

    private unowned let thread: QueueThread
    private var pools: [Pool] = []
    /// Bytes of free buffers that are pools by themselves.
    private var kept = 0
    private var free: [[Buffer]] = Array(repeating: [], count: RequestMemory.classes)

    init(thread: QueueThread) {
        self.thread = thread
    }

    /// Takes memory for `bytes`; nil where the system has none.
    public func take(bytes: Int) -> Buffer? {
        let pages = max(1, (bytes + Page.size - 1) / Page.size)
        let sizeClass = pages == 1 ? 0 : Int.bitWidth - (pages - 1).leadingZeroBitCount
        guard sizeClass < Self.classes else { return large(pages, sizeClass) }
        if free[sizeClass].isEmpty {
            if sizeClass >= Self.commonClasses { return large(1 << sizeClass, sizeClass) }
            refill(sizeClass)
        }
        let buffer = free[sizeClass].popLast()
        if sizeClass >= Self.commonClasses { kept -= buffer?.capacity ?? 0 }
        return buffer
    }

    /// Gives memory back.
    public func give(_ buffer: Buffer) {
        guard let own = buffer.own else { return free[buffer.sizeClass].append(buffer) }
        if buffer.sizeClass < Self.classes, kept + buffer.capacity <= Self.mostKept {
            kept += buffer.capacity
            free[buffer.sizeClass].append(buffer)
        } else {
            release(own)
        }
    }

    private func release(_ pool: Pool) {
        thread.detach(memorySlot: pool.slot)
        pool.memory.release()
    }

    private func large(_ pages: Int, _ sizeClass: Int) -> Buffer? {
        guard let pool = makePool(pages) else { return nil }
        return Buffer(
            slice: MemorySlice(address: pool.memory.base, slot: pool.slot), capacity: pool.memory.length,
            sizeClass: sizeClass, own: pool)
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
        for pool in free.joined().compactMap(\.own) + pools { release(pool) }
        free = Array(repeating: [], count: Self.classes)
        kept = 0
        pools = []
    }
}
