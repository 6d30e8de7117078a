import Glibc
import Synchronization
import SystemPackage

/// Page-aligned memory from the system: what budgets are made of.
///
/// It is locked (mlock(2)), so that copying under memory pressure never waits for a page to come back;
/// where RLIMIT_MEMLOCK forbids that it is used unlocked, and `isLocked` says so.
public final class PageMemory: @unchecked Sendable {  // immutable; whoever holds a stretch of it owns that
    /// First byte.
    public let base: UnsafeMutableRawPointer
    /// Length in bytes.
    public let length: Int
    /// Whether it is locked.
    public let isLocked: Bool
    private let isReleased = Atomic<Bool>(false)

    private static let hugePage = 2 << 20

    /// Sets `pages` 4 KiB pages aside.
    /// - Throws: ENOMEM.
    public init(pages: Int) throws(BlockError) {
        precondition(pages > 0, "PageMemory of \(pages) pages")
        length = pages * Page.size
        let object = "\(pages) pages"
        // From 2 MiB on the memory begins at a huge page: fewer, longer segments for the device.
        let slack = length >= Self.hugePage ? Self.hugePage : 0
        guard let map = mmap(nil, length + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            map != MAP_FAILED
        else { throw BlockError(object, "map memory", Errno(rawValue: errno)) }
        let head = slack == 0 ? 0 : (Self.hugePage - Int(bitPattern: map) % Self.hugePage) % Self.hugePage
        Self.unmap(map, head)
        base = map + head
        Self.unmap(base + length, slack - head)
        if slack > 0 { madvise(base, length, MADV_HUGEPAGE) }
        madvise(base, length, MADV_DONTFORK)
        isLocked = mlock(base, length) == 0
    }

    deinit { release() }

    /// Gives the memory back now, whoever still holds the object; nobody may touch it any more.
    public func release() {
        if !isReleased.exchange(true, ordering: .acquiringAndReleasing) { Self.unmap(base, length) }
    }

    private static func unmap(_ address: UnsafeMutableRawPointer, _ length: Int) {
        if length > 0 { munmap(address, length) }
    }
}
