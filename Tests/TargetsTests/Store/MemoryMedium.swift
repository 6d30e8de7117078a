import BlockIO
import Glibc
import SystemPackage

@testable import Targets

/// A store in memory, sparse, that remembers what was done to it. Used by one test at a time.
final class MemoryMedium: StoreMedium, @unchecked Sendable {  // each test has its own, on one thread
    /// What was done to it.
    enum Event: Equatable {
        case write(sector: UInt64, bytes: [UInt8])
        case flush
    }

    private static let page = 4096

    let name = "memory"
    var sectors: UInt64
    let logicalBlockSectors: UInt64
    private var pages: [UInt64: [UInt8]] = [:]
    /// Writes and flushes since the beginning, or since the test emptied it.
    var events: [Event] = []
    /// Whether writes are remembered with what they wrote.
    var isRecording = true
    /// How many bytes were read.
    var bytesRead = 0
    /// Sectors that cannot be read.
    var badSectors: Range<UInt64> = 0..<0
    /// How many writes and flushes succeed before all fail.
    var callsUntilFailure = Int.max

    init(sectors: UInt64, logicalBlockSectors: UInt64 = 1) {
        self.sectors = sectors
        self.logicalBlockSectors = logicalBlockSectors
    }

    /// A copy with the same content, and no past.
    func copy() -> MemoryMedium {
        let other = MemoryMedium(sectors: sectors, logicalBlockSectors: logicalBlockSectors)
        other.pages = pages
        return other
    }

    func read(_ stretches: [StoreStretch]) throws(BlockError) {
        for stretch in stretches {
            try check("read", stretch.sector, stretch.memory.count)
            let end = stretch.sector + UInt64(stretch.memory.count / 512)
            guard badSectors.isEmpty || end <= badSectors.lowerBound || stretch.sector >= badSectors.upperBound else {
                throw BlockError(name, "read", .ioError)
            }
            bytesRead += stretch.memory.count
            stretch.memory.initializeMemory(as: UInt8.self, repeating: 0)
            guard !pages.isEmpty else { continue }
            forEachPage(stretch.sector, stretch.memory.count) { page, offset, done, count in
                guard let bytes = pages[page] else { return }
                stretch.memory[done..<done + count].copyBytes(from: bytes[offset..<offset + count])
            }
        }
    }

    func write(_ sector: UInt64, from memory: UnsafeRawBufferPointer) throws(BlockError) {
        try check("write", sector, memory.count)
        try countCall("write")
        if isRecording { events.append(.write(sector: sector, bytes: [UInt8](memory))) }
        poke(sector * 512, memory)
    }

    func flush() throws(BlockError) {
        try countCall("flush")
        events.append(.flush)
    }

    private func countCall(_ operation: String) throws(BlockError) {
        if callsUntilFailure == 0 { throw BlockError(name, operation, .ioError) }
        callsUntilFailure -= 1
    }

    private func check(_ operation: String, _ sector: UInt64, _ count: Int) throws(BlockError) {
        precondition(sector % logicalBlockSectors == 0 && count % (Int(logicalBlockSectors) * 512) == 0, "unaligned")
        guard sector <= sectors, UInt64(count / 512) <= sectors - sector else {
            throw BlockError(name, operation, .ioError, reason: "sectors \(sector)+\(count / 512) of \(sectors)")
        }
    }

    // MARK: Behind the back of what is tested

    /// Puts bytes at a place, in bytes.
    func poke(_ offset: UInt64, _ bytes: UnsafeRawBufferPointer) {
        let start = Int(offset % 512)
        forEachPage(offset / 512, bytes.count, skipping: start) { page, offset, done, count in
            let part = UnsafeRawBufferPointer(rebasing: bytes[done..<done + count])
            if pages[page] == nil, part.allSatisfy({ $0 == 0 }) { return }
            pages[page, default: [UInt8](repeating: 0, count: Self.page)]
                .replaceSubrange(offset..<offset + count, with: part)
        }
    }

    func poke(_ offset: UInt64, _ bytes: [UInt8]) { bytes.withUnsafeBytes { poke(offset, $0) } }

    /// What is at a place, in bytes.
    func peek(_ offset: UInt64, _ count: Int) -> [UInt8] {
        (0..<UInt64(count)).map { index in
            pages[(offset + index) / UInt64(Self.page)].map { $0[Int((offset + index) % UInt64(Self.page))] } ?? 0
        }
    }

    /// Everything that is not zero.
    var content: [UInt64: [UInt8]] { pages.filter { $0.value.contains { $0 != 0 } } }

    private func forEachPage(
        _ sector: UInt64, _ count: Int, skipping: Int = 0,
        _ body: (_ page: UInt64, _ offset: Int, _ done: Int, _ count: Int) -> Void
    ) {
        var done = 0
        while done < count {
            let position = Int(sector) * 512 + skipping + done
            let offset = position % Self.page
            let part = min(Self.page - offset, count - done)
            body(UInt64(position / Self.page), offset, done, part)
            done += part
        }
    }
}

extension MemoryMedium {
    /// A device with a header and a list of exceptions, put there byte by byte.
    static func store(
        chunk: UInt64, chunks: UInt64, _ exceptions: [(old: UInt64, new: UInt64)] = [], block: UInt64 = 1
    ) -> MemoryMedium {
        let medium = MemoryMedium(sectors: chunk * chunks, logicalBlockSectors: block)
        medium.pokeHeader(chunk: chunk)
        for (number, exception) in exceptions.enumerated() {
            medium.pokeException(UInt64(number), exception, chunk: chunk)
        }
        return medium
    }

    func pokeHeader(magic: UInt32 = 0x7041_6E53, valid: UInt32 = 1, version: UInt32 = 1, chunk: UInt64) {
        poke(0, [magic, valid, version, UInt32(truncatingIfNeeded: chunk)].flatMap { littleEndianBytes($0) })
    }

    /// Puts exception `number` of the list where it belongs.
    func pokeException(_ number: UInt64, _ exception: (old: UInt64, new: UInt64), chunk: UInt64) {
        let perArea = chunk * 32
        let sector = (1 + number / perArea * (perArea + 1)) * chunk
        poke(
            sector * 512 + number % perArea * 16,
            littleEndianBytes(exception.old) + littleEndianBytes(exception.new))
    }

    /// Exceptions with the chunks that a store gives away in order, for old chunks in steps of 3.
    static func inOrder(_ count: Int, chunk: UInt64) -> [(old: UInt64, new: UInt64)] {
        var new: UInt64 = 2
        return (0..<UInt64(count)).map { number in
            defer { new += (new + 1) % (chunk * 32 + 1) == 1 ? 2 : 1 }
            return (number * 3, new)
        }
    }
}

func littleEndianBytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian) { [UInt8]($0) }
}
