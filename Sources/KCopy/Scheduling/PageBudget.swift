/// The pages of one client: which are free, and where a run of neighbouring ones is.
///
/// A hard limit: what is not free cannot be had, and a piece waits. Pages are numbered from 0; runs are given
/// out first fit, so that a budget that is idle is one free run again.
struct PageBudget {
    /// A run of pages.
    struct Run: Hashable {
        var start: Int
        var count: Int
    }

    let total: Int
    private(set) var free: Int
    /// One bit a page, set while it is in use; bits behind the last page are set for good.
    private var used: [UInt64]

    init(pages: Int) {
        precondition(pages > 0, "a budget of \(pages) pages")
        total = pages
        free = pages
        used = Array(repeating: 0, count: (pages + 63) / 64)
        for page in pages..<(used.count * 64) { used[page / 64] |= 1 << UInt64(page % 64) }
    }

    /// Takes `count` neighbouring pages, or nothing.
    mutating func take(_ count: Int) -> Run? {
        guard count > 0, count <= free else { return nil }
        var page = 0
        while let start = next(from: page, free: true) {
            let end = next(from: start, free: false) ?? used.count * 64
            if end - start >= count {
                set(start, count, true)
                free -= count
                return Run(start: start, count: count)
            }
            page = end
        }
        return nil
    }

    /// Gives a run back.
    mutating func give(_ run: Run) {
        precondition(run.start + run.count <= total, "run \(run) of \(total) pages")
        set(run.start, run.count, false)
        free += run.count
    }

    /// The first page from `page` on that is free, or that is used.
    private func next(from page: Int, free: Bool) -> Int? {
        var index = page / 64
        guard index < used.count else { return nil }
        var word = (free ? ~used[index] : used[index]) & (~0 << UInt64(page % 64))
        while word == 0 {
            index += 1
            guard index < used.count else { return nil }
            word = free ? ~used[index] : used[index]
        }
        return index * 64 + word.trailingZeroBitCount
    }

    private mutating func set(_ start: Int, _ count: Int, _ value: Bool) {
        var page = start
        let end = start + count
        while page < end {
            let bits = min(64 - page % 64, end - page)
            let mask: UInt64 = (bits == 64 ? .max : (1 << UInt64(bits)) - 1) << UInt64(page % 64)
            let before = used[page / 64] & mask
            precondition(
                before == (value ? 0 : mask), "pages \(start)+\(count) are \(value ? "in use" : "free") already")
            used[page / 64] ^= mask
            page += bits
        }
    }
}
