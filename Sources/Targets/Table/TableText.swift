/// How words are told apart in a table line: by white space, which a backslash makes part of the word, as the kernel's
/// device-mapper splits the parameters of a target.
public enum TableText {
    /// Whether a byte is white space: isspace(3) in the C locale.
    static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }

    static let backslash = UInt8(ascii: "\\")

    /// The words of a line. What follows a backslash belongs to a word, whatever it is; the backslash does not.
    static func words(of line: some Collection<UInt8>) -> [[UInt8]] {
        var words: [[UInt8]] = []
        var word: [UInt8] = []
        var isInside = false
        var isQuoted = false
        for byte in line {
            if !isQuoted, isSpace(byte) {
                if isInside { words.append(word) }
                word.removeAll(keepingCapacity: true)
                isInside = false
                continue
            }
            isInside = true
            isQuoted = !isQuoted && byte == backslash
            if !isQuoted { word.append(byte) }
        }
        // A backslash at the very end quotes nothing, and stands for itself.
        if isQuoted { word.append(backslash) }
        if isInside { words.append(word) }
        return words
    }

    /// A word as a table line has to spell it.
    public static func quoted(_ word: String) -> String {
        guard word.utf8.contains(where: { isSpace($0) || $0 == backslash }) else { return word }
        var bytes: [UInt8] = []
        for byte in word.utf8 {
            if isSpace(byte) || byte == backslash { bytes.append(backslash) }
            bytes.append(byte)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The number that a word is; nil for anything but decimal digits, and for a number beyond 64 bits.
    static func number(_ word: String) -> UInt64? {
        guard !word.isEmpty, word.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return UInt64(word)
    }

    /// Whether a word is a number as far as its characters go.
    static func isDecimal(_ word: String) -> Bool {
        !word.isEmpty && word.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }
}
