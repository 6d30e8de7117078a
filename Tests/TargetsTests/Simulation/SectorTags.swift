import BlockIO
import Glibc

/// Content by the sector: a number stands for a sector that is full of it, so that a model keeps one number a sector.
enum SectorTags {
    /// The bytes of sectors.
    static func bytes(_ tags: [UInt64]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: tags.count * 512) { buffer, count in
            count = tags.count * 512
            guard let base = UnsafeMutableRawPointer(buffer.baseAddress) else { return }
            fill(base, tags)
        }
    }

    /// Fills memory.
    static func fill(_ memory: UnsafeMutableRawPointer, _ tags: [UInt64]) {
        for (sector, tag) in tags.enumerated() {
            let place = memory + sector * 512
            place.storeBytes(of: tag, as: UInt64.self)
            var length = 8
            while length < 512 {
                memcpy(place + length, place, length)
                length *= 2
            }
        }
    }

    /// The numbers that sectors are full of; nil for a sector that is not full of one.
    static func tags(_ memory: UnsafeRawPointer, count: Int) -> [UInt64?] {
        (0..<count).map { sector in
            let place = memory + sector * 512
            return memcmp(place, place + 8, 504) == 0 ? place.load(as: UInt64.self) : nil
        }
    }

    static func tags(_ bytes: [UInt8]) -> [UInt64?] {
        bytes.withUnsafeBytes { buffer in buffer.baseAddress.map { tags($0, count: bytes.count / 512) } ?? [] }
    }

    /// Different numbers for the sectors of a device or of a write.
    static func fresh(_ owner: Int, count: Int) -> [UInt64] {
        (0..<count).map { UInt64(owner + 1) << 24 | UInt64($0) }
    }
}

/// Whether memory holds these bytes.
func holds(_ memory: UnsafeRawPointer, _ bytes: [UInt8]) -> Bool {
    bytes.withUnsafeBytes { buffer in buffer.baseAddress.map { memcmp($0, memory, buffer.count) == 0 } ?? true }
}
