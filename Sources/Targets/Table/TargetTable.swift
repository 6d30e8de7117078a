import BlockIO
import SystemPackage

/// A table: what a mapped device is made of, line by line, from sector 0 on without a gap.
public struct TargetTable: Hashable, Sendable {
    /// How many lines a table has at most.
    public static let mostLines = 4096
    /// The longest line in bytes.
    public static let longestLine = 16 << 10
    /// How many sectors a table has at most: positions in bytes have to fit into 63 bits (off_t).
    public static let mostSectors = UInt64(Int64.max) >> UInt64(Sector.shift)

    /// Its lines, in the order of their sectors; one at least.
    public let lines: [TableLine]

    /// Size in sectors.
    public var sectors: UInt64 { lines.last?.range.end ?? 0 }

    /// Reads a table as dmsetup(8) takes it: `START LENGTH TYPE WORDS...`, a line for each target. Numbers are decimal,
    /// words are told apart by white space, a backslash makes the next character part of a word. Blank lines and lines that
    /// begin with `#` are left out, but counted.
    /// - Throws: EINVAL with the line, the word and the reason.
    public init(parsing text: String) throws(TargetError) {
        var lines: [TableLine] = []
        var end: UInt64 = 0
        let all = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, content) in all.enumerated() {
            guard let line = try Self.parse(content, number: index + 1, after: end) else { continue }
            guard lines.count < Self.mostLines else {
                throw line.fault(word: nil, "a table has at most \(Self.mostLines) lines")
            }
            end = line.range.end
            lines.append(line)
        }
        guard !lines.isEmpty else { throw TargetError("table", "parse", .invalidArgument, "it has no lines") }
        self.lines = lines
    }

    /// The line that some bytes are; nil for none.
    private static func parse(
        _ content: Substring.UTF8View, number: Int, after end: UInt64
    ) throws(TargetError) -> TableLine? {
        guard let first = content.first(where: { !TableText.isSpace($0) }), first != UInt8(ascii: "#") else {
            return nil
        }
        guard content.count <= longestLine else {
            throw TargetError(
                "table line \(number)", "parse", .invalidArgument,
                "its \(content.count) bytes are more than \(longestLine)")
        }
        let words = TableText.words(of: content).map { String(decoding: $0, as: UTF8.self) }
        if let index = words.firstIndex(where: { $0.utf8.contains(0) }) {
            throw fault(number, index, words, "it holds a zero byte")
        }
        let range = try parseRange(words, number: number, after: end)
        let type = try word(2, of: words, number, "the type of the target")
        guard type.utf8.count <= TableLine.longestType else {
            throw fault(number, 2, words, "the name of a type has at most \(TableLine.longestType) bytes")
        }
        return TableLine(range: range, type: type, words: Array(words.dropFirst(3)), number: number)
    }

    private static func parseRange(
        _ words: [String], number: Int, after end: UInt64
    ) throws(TargetError) -> SectorRange {
        let start = try sectors(0, of: words, number, "the first sector")
        guard start == end else {
            let rule = end == 0 ? "a table begins at sector 0" : "the line before ends before sector \(end)"
            let fault = start < end ? "the two overlap" : "there is a gap"
            throw Self.fault(number, 0, words, end == 0 ? rule : "\(rule): \(fault)")
        }
        let count = try sectors(1, of: words, number, "the number of sectors")
        guard count > 0 else { throw fault(number, 1, words, "a target has at least 1 sector") }
        guard count <= mostSectors - start else {
            throw fault(
                number, 1, words, "from sector \(start) on there is room for \(mostSectors - start) sectors at most")
        }
        return SectorRange(start: start, count: count)
    }

    private static func sectors(
        _ index: Int, of words: [String], _ line: Int, _ what: String
    ) throws(TargetError) -> UInt64 {
        let text = try word(index, of: words, line, what)
        guard TableText.isDecimal(text) else { throw fault(line, index, words, "\(what) is to be a decimal number") }
        guard let number = TableText.number(text), number <= mostSectors else {
            throw fault(line, index, words, "\(what) is to be a number from 0 to \(mostSectors)")
        }
        return number
    }

    private static func word(
        _ index: Int, of words: [String], _ line: Int, _ what: String
    ) throws(TargetError) -> String {
        guard words.indices.contains(index) else { throw fault(line, index, words, "\(what) is missing") }
        return words[index]
    }

    private static func fault(_ line: Int, _ index: Int, _ words: [String], _ reason: String) -> TargetError {
        TableLine.fault(
            line: line, word: index + 1, words.indices.contains(index) ? words[index] : nil, "parse", .invalidArgument,
            reason)
    }
}

extension TargetTable: CustomStringConvertible {
    /// Its lines, each with a newline at its end.
    public var description: String { lines.map { "\($0)\n" }.joined() }
}
