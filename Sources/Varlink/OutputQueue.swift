/// Replies that the socket has not taken yet, in order.
struct OutputQueue {
    private var messages: [[UInt8]] = []
    private var first = 0
    private var sentOfFirst = 0
    /// Bytes that wait.
    private(set) var byteCount = 0

    var isEmpty: Bool { byteCount == 0 }

    /// Messages that wait, the one partly sent included.
    var messageCount: Int { messages.count - first }

    /// The bytes to send next.
    var front: ArraySlice<UInt8> { isEmpty ? [] : messages[first][sentOfFirst...] }

    mutating func append(_ message: [UInt8]) {
        guard !message.isEmpty else { return }
        messages.append(message)
        byteCount += message.count
    }

    /// Forgets `count` bytes of the front message.
    mutating func sent(_ count: Int) {
        byteCount -= count
        sentOfFirst += count
        guard sentOfFirst == messages[first].count else { return }
        messages[first] = []
        first += 1
        sentOfFirst = 0
        if first == messages.count {
            messages = []
            first = 0
        } else if first >= 64, first >= messages.count / 2 {
            messages.removeSubrange(..<first)
            first = 0
        }
    }
}
