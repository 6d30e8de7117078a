import Glibc

/// Memory for a `RunSorter`: blocks of 4 KiB, cut from large stretches that the kernel may back with huge pages, which
/// makes writing to thousands of places at once cheap. A block that was given back is used again.
final class RunArena {
    /// Bytes of a block; blocks are aligned to it.
    static let blockBytes = 4096
    private static let stretchBytes = 8 << 20
    private static let hugePage = 2 << 20

    private var stretches: [UnsafeMutableRawPointer] = []
    private var next = UnsafeMutableRawPointer?.none
    private var left = 0
    private var free = UnsafeMutableRawPointer?.none

    deinit {
        for stretch in stretches { stretch.deallocate() }
    }

    /// A block; what it holds is undefined.
    func take() -> UnsafeMutableRawPointer {
        if let block = free {
            free = block.load(as: UnsafeMutableRawPointer?.self)
            return block
        }
        guard left > 0, let block = next else { return begin() }
        left -= Self.blockBytes
        next = block + Self.blockBytes
        return block
    }

    /// Takes a block back.
    func give(_ block: UnsafeMutableRawPointer) {
        block.storeBytes(of: free, as: UnsafeMutableRawPointer?.self)
        free = block
    }

    private func begin() -> UnsafeMutableRawPointer {
        let stretch = UnsafeMutableRawPointer.allocate(byteCount: Self.stretchBytes, alignment: Self.hugePage)
        // Only advice: without huge pages it is slower.
        madvise(stretch, Self.stretchBytes, MADV_HUGEPAGE)
        stretches.append(stretch)
        left = Self.stretchBytes - Self.blockBytes
        next = stretch + Self.blockBytes
        return stretch
    }
}
