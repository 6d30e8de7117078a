public import BlockIO
public import SystemPackage

/// One line of a table: which sectors, which target, and its words.
public struct TableLine: Hashable, Sendable {
    /// How many words stand before the target's own: the first sector, the number of sectors, the type.
    public static let leadingWords = 3
    /// The longest name of a type, in bytes: what the kernel's DM_MAX_TYPE_NAME leaves beside the zero byte.
    public static let longestType = 15

    /// The sectors of the mapped device.
    public var range: SectorRange
    /// The type of the target.
    public var type: String
    /// The words behind it.
    public var words: [String]
    /// Its number in the table, from 1.
    public var number: Int

    /// A line.
    public init(range: SectorRange, type: String, words: [String], number: Int = 1) {
        self.range = range
        self.type = type
        self.words = words
        self.number = number
    }

    /// The error of one of the words behind the type, by its index; nil where the line as a whole is wrong. Messages count
    /// words as people do: the first sector is word 1.
    /// - Parameter operation: what was being done, as an infinitive.
    public func fault(
        word index: Int?, _ reason: String, operation: String = "parse", errno: Errno = .invalidArgument
    ) -> TargetError {
        guard let index else { return TargetError("table line \(number)", operation, errno, reason) }
        return Self.fault(
            line: number, word: index + Self.leadingWords + 1, words.indices.contains(index) ? words[index] : nil,
            operation, errno, reason)
    }

    /// The error of a word by its number in its line, with its text where it is there.
    static func fault(
        line: Int, word: Int, _ text: String?, _ operation: String, _ errno: Errno, _ reason: String
    ) -> TargetError {
        let shown = text.map { " \"\($0)\"" } ?? ""
        return TargetError("table line \(line), word \(word)\(shown)", operation, errno, reason)
    }
}

extension TableLine: CustomStringConvertible {
    /// `START LENGTH TYPE WORDS...`, so that parsing it gives the same line again.
    public var description: String {
        (["\(range.start)", "\(range.count)"] + ([type] + words).map(TableText.quoted)).joined(separator: " ")
    }
}
