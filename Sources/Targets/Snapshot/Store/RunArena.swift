import Glibc

/// Memory for `RunBuckets`: blocks of 4 KiB, cut from large stretches that the kernel may back with huge pages, which
/// makes writing to hundreds of places at once cheap.
final class RunArena {
    /// Bytes of a block; blocks are aligned to it.
    static let blockBytes = 4096
    private static let stretchBytes = 8 << 20

    private var stretches: [UnsafeMutableRawPointer] = []
    private var next = UnsafeMutableRawPointer?.none
    private var left = 0

    deinit {
        for stretch in stretches { munmap(stretch, Self.stretchBytes) }
    }

    /// A block; what it holds is undefined.
    func take() -> UnsafeMutableRawPointer {
        guard left > 0, let block = next else { return begin() }
        left -= Self.blockBytes
        next = block + Self.blockBytes
        return block
    }

    private func begin() -> UnsafeMutableRawPointer {
        // Mapped, so that it goes back to the system as soon as the table is there.
        guard
            let stretch = mmap(nil, Self.stretchBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            stretch != MAP_FAILED
        else { preconditionFailure("no memory for \(Self.stretchBytes) bytes: errno \(errno)") }
        // Only advice: without huge pages it is slower.
        madvise(stretch, Self.stretchBytes, MADV_HUGEPAGE)
        stretches.append(stretch)
        left = Self.stretchBytes - Self.blockBytes
        next = stretch + Self.blockBytes
        return stretch
    }
}
