/// A region as people write it: `PATH[@SECTOR[+COUNT]]`, numbers in decimal, sectors of 512 bytes.
struct RegionArgument: Hashable {
    /// The device.
    var path: String
    /// First sector; nil where none was given, which means 0.
    var sector: UInt64?
    /// Sectors; nil where none was given.
    var count: UInt64?

    /// The number of sectors that positions in files and devices can address (2^63 bytes).
    static let sectorLimit = UInt64(1) << 54

    /// Reads a region.
    ///
    /// The position begins at the last `@`, if what follows has the form of one. A name that exists
    /// as a whole is a path, whatever it looks like.
    /// - Throws: a usage failure for an empty path and for numbers beyond what a device can hold.
    init(_ text: String, exists: (String) -> Bool) throws(Failure) {
        guard let at = text.lastIndex(of: "@"), at > text.startIndex,
            let position = Position(text[text.index(after: at)...]), !exists(text)
        else {
            guard !text.isEmpty else { throw Failure("region", "usage", "the path is empty", status: .usage) }
            self.init(path: text)
            return
        }
        let path = String(text[..<at])
        let start = try Self.number(position.sector, "sector", of: text)
        let count: UInt64? =
            if let count = position.count { try Self.number(count, "count", of: text) } else { nil }
        guard start + (count ?? 0) <= Self.sectorLimit else {
            throw Failure(
                text, "usage", "the region ends behind sector \(Self.sectorLimit), where the largest device ends",
                status: .usage)
        }
        self.init(path: path, sector: start, count: count)
    }

    init(path: String, sector: UInt64? = nil, count: UInt64? = nil) {
        self.path = path
        self.sector = sector
        self.count = count
    }

    /// What follows the `@`, if it has the form `DIGITS[+DIGITS]`.
    private struct Position {
        var sector: Substring
        var count: Substring?

        init?(_ text: Substring) {
            let parts = text.split(separator: "+", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }) else {
                return nil
            }
            sector = parts[0]
            count = parts.count > 1 ? parts[1] : nil
        }
    }

    private static func number(_ digits: Substring, _ what: String, of text: String) throws(Failure) -> UInt64 {
        guard let number = UInt64(digits), number <= sectorLimit else {
            throw Failure(
                text, "usage", "the \(what) \(digits) is beyond the \(sectorLimit) sectors of the largest device",
                status: .usage)
        }
        return number
    }
}

extension RegionArgument: CustomStringConvertible {
    /// The region as it can be given on the command line again.
    var description: String {
        switch (sector, count) {
        case (nil, nil): path
        case (let sector, let count?): "\(path)@\(sector ?? 0)+\(count)"
        case (let sector?, nil): "\(path)@\(sector)"
        }
    }
}

/// A word for a shell: quoted where it has to be.
func shellWord(_ text: String) -> String {
    let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_")
    if !text.isEmpty, text.allSatisfy(plain.contains) { return text }
    return "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
}
