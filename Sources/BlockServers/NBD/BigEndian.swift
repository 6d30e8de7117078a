// Numbers in network order, in memory whose bounds the caller has checked or has checked here.

extension UnsafeRawPointer {
    /// The number at an offset, aligned or not.
    func bigEndian<Number: FixedWidthInteger & BitwiseCopyable>(at offset: Int, as type: Number.Type = Number.self)
        -> Number
    {
        Number(bigEndian: loadUnaligned(fromByteOffset: offset, as: Number.self))
    }
}

extension UnsafeMutableRawPointer {
    /// Stores a number at an offset, aligned or not.
    func storeBigEndian<Number: FixedWidthInteger & BitwiseCopyable>(_ number: Number, at offset: Int) {
        storeBytes(of: number.bigEndian, toByteOffset: offset, as: Number.self)
    }
}

extension [UInt8] {
    /// Appends a number.
    mutating func append<Number: FixedWidthInteger>(bigEndian number: Number) {
        Swift.withUnsafeBytes(of: number.bigEndian) { append(contentsOf: $0) }
    }
}

/// Takes a message apart from front to back; what is not there is nil.
struct NBDMessageReader {
    private var rest: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) {
        rest = bytes
    }

    /// Whether everything was taken.
    var isAtEnd: Bool { rest.isEmpty }

    /// The next number.
    mutating func number<Number: FixedWidthInteger & BitwiseCopyable>(as type: Number.Type = Number.self) -> Number? {
        guard let bytes = bytes(MemoryLayout<Number>.size), let base = bytes.baseAddress else { return nil }
        return base.bigEndian(at: 0, as: Number.self)
    }

    /// The next bytes.
    mutating func bytes(_ count: Int) -> UnsafeRawBufferPointer? {
        guard count >= 0, rest.count >= count else { return nil }
        defer { rest = UnsafeRawBufferPointer(rebasing: rest[count...]) }
        return UnsafeRawBufferPointer(rebasing: rest[..<count])
    }

    /// The next string: its length, 32 bits, and its bytes. Nil also for one that is longer than strings may be.
    mutating func string() -> UnsafeRawBufferPointer? {
        guard let length = number(as: UInt32.self), length <= NBDSize.string else { return nil }
        return bytes(Int(length))
    }
}
