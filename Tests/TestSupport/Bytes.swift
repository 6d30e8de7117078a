import Glibc
import SystemPackage

/// A sequence of numbers that its seed gives (SplitMix64).
public struct SeededNumbers: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// The sequence of a seed.
    public init(_ seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}

/// Bytes on devices, read and written behind the back of what is tested.
public enum Bytes {
    /// `count` bytes that look random; the same ones for the same seed. No two sectors are alike. `count` is a multiple of 8.
    public static func random(_ count: Int, seed: UInt64) -> [UInt8] {
        var numbers = SeededNumbers(seed)
        let block = min(count, 64 << 10)
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            initialized = count
            guard let base = UnsafeMutableRawPointer(buffer.baseAddress) else { return }
            for offset in stride(from: 0, to: block, by: 8) {
                base.storeBytes(of: numbers.next(), toByteOffset: offset, as: UInt64.self)
            }
            for offset in stride(from: block, to: count, by: block) {
                (base + offset).copyMemory(from: base, byteCount: min(block, count - offset))
            }
            for offset in stride(from: 0, to: count, by: 512) {
                base.storeBytes(of: seed << 48 | UInt64(offset), toByteOffset: offset, as: UInt64.self)
            }
        }
    }

    /// With `count` sectors replaced by those of another array, or by zeroes.
    public static func replacing(
        _ bytes: [UInt8], sector: Int, count: Int, from other: [UInt8]?, sector from: Int = 0
    ) -> [UInt8] {
        var copy = bytes
        precondition((sector + count) * 512 <= bytes.count)
        copy.withUnsafeMutableBytes { target in
            guard let base = target.baseAddress else { return }
            guard let other else {
                memset(base + sector * 512, 0, count * 512)
                return
            }
            precondition((from + count) * 512 <= other.count)
            other.withUnsafeBytes { source in
                if let start = source.baseAddress { memcpy(base + sector * 512, start + from * 512, count * 512) }
            }
        }
        return copy
    }

    /// Reads a stretch of a file or device.
    public static func read(_ path: String, at offset: Int = 0, count: Int) throws -> [UInt8] {
        let descriptor = try FileDescriptor.open(FilePath(path), .readOnly, options: [.closeOnExec])
        return try descriptor.closeAfter {
            var done = 0
            var bytes = [UInt8](repeating: 0, count: count)
            try bytes.withUnsafeMutableBytes { buffer in
                while done < count {
                    let some = try descriptor.read(
                        fromAbsoluteOffset: Int64(offset + done),
                        into: UnsafeMutableRawBufferPointer(rebasing: buffer[done...]))
                    if some == 0 { throw Errno.noData }
                    done += some
                }
            }
            return bytes
        }
    }

    /// Overwrites a stretch of a file or device; on the medium when it returns.
    public static func write(_ bytes: [UInt8], to path: String, at offset: Int = 0) throws {
        let descriptor = try FileDescriptor.open(FilePath(path), .writeOnly, options: [.closeOnExec])
        try descriptor.closeAfter {
            _ = try descriptor.writeAll(toAbsoluteOffset: Int64(offset), bytes)
            if fsync(descriptor.rawValue) != 0 { throw Errno(rawValue: errno) }
        }
    }

    /// The first position at which two byte strings differ; nil where they are equal.
    public static func difference(_ a: [UInt8], _ b: [UInt8]) -> Int? {
        if a.count == b.count, a.withUnsafeBytes({ a in b.withUnsafeBytes { b in equal(a, b) } }) { return nil }
        return zip(a, b).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(a.count, b.count)
    }

    /// Whether two byte strings agree in a stretch.
    public static func agree(_ a: [UInt8], _ b: [UInt8], in range: Range<Int>) -> Bool {
        a.withUnsafeBytes { a in
            b.withUnsafeBytes { b in
                equal(UnsafeRawBufferPointer(rebasing: a[range]), UnsafeRawBufferPointer(rebasing: b[range]))
            }
        }
    }

    private static func equal(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
        guard let first = a.baseAddress, let second = b.baseAddress else { return true }
        return memcmp(first, second, a.count) == 0
    }

    /// What a file occupies, in bytes.
    public static func allocated(_ path: String) throws -> Int {
        var status = stat()
        guard stat(path, &status) == 0 else { throw Errno(rawValue: errno) }
        return Int(status.st_blocks) * 512
    }
}
