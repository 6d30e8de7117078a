import Glibc

/// What the copy service looks for in data that passes through it.
enum BufferScan {
    /// A stretch of a buffer, in bytes.
    struct Run: Equatable {
        var offset: Int
        var length: Int
        var isZero: Bool
    }

    /// Zeroes shorter than this stay with the data around them: one long write is cheaper than three.
    static let shortestZeroes = 32 << 10

    /// Whether every byte is zero. `length` is a multiple of 512.
    ///
    /// The first 64 bytes are looked at, and everything is compared with what lies 64 bytes before it: the C library's
    /// memcmp uses the widest registers that the processor has, which code built for every processor cannot.
    static func isZero(_ address: UnsafeRawPointer, _ length: Int) -> Bool {
        let head = address.loadUnaligned(as: SIMD8<UInt64>.self)
        return head == SIMD8<UInt64>() && memcmp(address, address + 64, length - 64) == 0
    }

    /// Cuts a buffer into data and zeroes, on multiples of `unit` bytes (a multiple of 512).
    static func runs(_ address: UnsafeRawPointer, _ length: Int, unit: Int) -> [Run] {
        var runs: [Run] = []
        var offset = 0
        while offset < length {
            let count = min(unit, length - offset)
            let zero = isZero(address + offset, count)
            if let last = runs.last, last.isZero == zero {
                runs[runs.count - 1].length += count
            } else {
                runs.append(Run(offset: offset, length: count, isZero: zero))
            }
            offset += count
        }
        return runs.count > 1 ? joinShort(runs) : runs
    }

    private static func joinShort(_ runs: [Run]) -> [Run] {
        var joined: [Run] = []
        for run in runs {
            let zero = run.isZero && run.length >= shortestZeroes
            if let last = joined.last, last.isZero == zero {
                joined[joined.count - 1].length += run.length
            } else {
                joined.append(Run(offset: run.offset, length: run.length, isZero: zero))
            }
        }
        return joined
    }
}
