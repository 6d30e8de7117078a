/// Cuts an interface description into words and symbols, each with its place and the comment above it.
struct InterfaceLexer {
    struct Token {
        /// The word or symbol; empty at the end of the text.
        var text: String
        var line: Int
        var column: Int
        /// The comment lines directly above, without their marks.
        var documentation: String

        var shown: String { text.isEmpty ? "the end" : "\"\(text)\"" }

        func error(_ reason: String) -> InterfaceDescriptionError {
            InterfaceDescriptionError(line: line, column: column, reason: reason)
        }
    }

    private let bytes: [UInt8]
    private var position = 0
    private var line = 1
    private var lineStart = 0
    private var peeked: Token?

    init(_ text: String) {
        bytes = Array(text.utf8)
    }

    /// The next token, which stays there.
    mutating func peek() throws(InterfaceDescriptionError) -> Token {
        if let peeked { return peeked }
        let token = try read(qualified: false)
        peeked = token
        return token
    }

    /// The next token. A `qualified` word may hold dots and dashes.
    mutating func next(qualified: Bool = false) throws(InterfaceDescriptionError) -> Token {
        if let token = peeked {
            peeked = nil
            return token
        }
        return try read(qualified: qualified)
    }

    private mutating func read(qualified: Bool) throws(InterfaceDescriptionError) -> Token {
        var token = Token(text: "", line: 0, column: 0, documentation: skipToToken())
        token.line = line
        token.column = position - lineStart + 1
        let start = position
        guard position < bytes.count else { return token }
        if Self.isWord(bytes[position]) {
            while position < bytes.count, Self.isWord(bytes[position]) || (qualified && Self.isJoint(bytes[position])) {
                position += 1
            }
        } else if bytes[position...].starts(with: "->".utf8) {
            position += 2
        } else if "()[]?:,".utf8.contains(bytes[position]) {
            position += 1
        } else {
            throw token.error("unexpected character")
        }
        token.text = String(decoding: bytes[start..<position], as: UTF8.self)
        return token
    }

    /// Skips space and comments.
    ///
    /// - Returns: the comment that ends on the line above what follows.
    private mutating func skipToToken() -> String {
        var comment: [String] = []
        var lineIsBlank = false
        while position < bytes.count {
            switch bytes[position] {
            case UInt8(ascii: "\n"):
                if lineIsBlank { comment = [] }
                lineIsBlank = true
                position += 1
                line += 1
                lineStart = position
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"):
                position += 1
            case UInt8(ascii: "#"):
                let end = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
                let text = String(decoding: bytes[(position + 1)..<end], as: UTF8.self)
                comment.append(text.hasPrefix(" ") ? String(text.dropFirst()) : text)
                lineIsBlank = false
                position = end
            default:
                return comment.joined(separator: "\n")
            }
        }
        return ""
    }

    // MARK: Characters and names

    private static func isLetter(_ byte: UInt8) -> Bool {
        byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z")
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    private static func isWord(_ byte: UInt8) -> Bool { isLetter(byte) || isDigit(byte) || byte == UInt8(ascii: "_") }

    private static func isJoint(_ byte: UInt8) -> Bool { byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-") }

    /// `[A-Za-z]([-]*[A-Za-z0-9])*(\.[A-Za-z0-9]([-]*[A-Za-z0-9])*)+`
    static func isInterfaceName(_ text: String) -> Bool {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count >= 2, let head = text.utf8.first, isLetter(head) else { return false }
        return parts.allSatisfy { part in
            guard let first = part.first, let last = part.last else { return false }
            return (isLetter(first) || isDigit(first)) && (isLetter(last) || isDigit(last))
                && part.allSatisfy { isLetter($0) || isDigit($0) || $0 == UInt8(ascii: "-") }
        }
    }

    /// `[A-Z][A-Za-z0-9]*`, of types, methods and errors.
    static func isMemberName(_ text: String) -> Bool {
        guard let first = text.utf8.first, isLetter(first), first & 0x20 == 0 else { return false }
        return text.utf8.allSatisfy { isLetter($0) || isDigit($0) }
    }

    /// `[A-Za-z](_?[A-Za-z0-9])*`
    static func isFieldName(_ text: String) -> Bool {
        guard let first = text.utf8.first, let last = text.utf8.last, isLetter(first), last != UInt8(ascii: "_") else {
            return false
        }
        return text.utf8.allSatisfy(isWord)
            && !zip(text.utf8, text.utf8.dropFirst()).contains { $0 == 0x5F && $1 == 0x5F }
    }
}
