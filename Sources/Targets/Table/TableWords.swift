import SystemPackage

/// Reads the words behind the type in a table line, one after the other: what targets parse their lines with. Every fault
/// is an EINVAL that says which word is missing, wrong or left over.
public struct TableWords {
    /// The line.
    public let line: TableLine
    private var index = 0

    /// From the first word behind the type on.
    public init(_ line: TableLine) { self.line = line }

    /// How many words have not been read.
    public var remaining: Int { line.words.count - index }

    /// The next word, without reading it; nil behind the last.
    public var peek: String? { remaining > 0 ? line.words[index] : nil }

    /// Reads a word.
    /// - Parameter what: what it is, with its article: "the origin device".
    /// - Throws: that it is missing.
    public mutating func next(_ what: String) throws(TargetError) -> String {
        guard let word = peek else { throw line.fault(word: index, "\(what) is missing") }
        index += 1
        return word
    }

    /// Reads a decimal number.
    /// - Throws: that it is missing, no number, or out of range, with the numbers.
    public mutating func number(
        _ what: String, in range: ClosedRange<UInt64> = 0 ... .max
    ) throws(TargetError) -> UInt64 {
        let word = try next(what)
        guard TableText.isDecimal(word) else { throw wrong("\(what) is to be a decimal number") }
        guard let number = TableText.number(word), range.contains(number) else {
            throw wrong("\(what) is to be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// Sees to it that nothing is left over.
    /// - Throws: the first word that nobody has read.
    public func end() throws(TargetError) {
        guard remaining > 0 else { return }
        let count = index == 1 ? "1 word" : "\(index) words"
        let rule = index == 0 ? "no words" : "no more than \(count)"
        throw line.fault(word: index, "\(line.type) takes \(rule) behind its name")
    }

    /// The error of the word that was read last.
    public func wrong(_ reason: String) -> TargetError {
        line.fault(word: max(index - 1, 0), reason)
    }
}
