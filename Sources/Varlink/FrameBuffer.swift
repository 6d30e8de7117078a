// Varlink's framing: a message is a run of bytes ended by a NUL. Received bytes are appended at the end, messages are taken from the
// front. `head` is where the first untaken byte lies. NULs are counted as they arrive, so an unfinished message is never searched again; and
// the front is cut off only when it is at least as long as the rest, so bytes are not moved quadratically. An empty buffer holds no memory,
// for idle connections are the common case.
//
// Descriptors. On a Unix stream the kernel ends a read with the segment that carried descriptors, so they belong to the message
// that began last in what was read; a sender puts them on a message's first byte. When no message began there, they belong to the one that
// is being continued.

/// A message with the descriptors that came with it. The holder closes them.
struct Frame {
    var bytes: [UInt8]
    var descriptors: [CInt]
}

/// Bytes received and not yet taken as messages.
struct FrameBuffer {
    private var bytes: [UInt8] = []
    private var head = 0
    /// Descriptors, each with the number of the message it came with. Messages are numbered from the connection's start.
    private var descriptors: [(frame: UInt64, descriptor: CInt)] = []
    /// How many messages have ended in the bytes appended so far, which is also the number of the unfinished one.
    private(set) var framesEnded: UInt64 = 0
    private var framesTaken: UInt64 = 0
    private var lastByteWasEnd = true

    /// Bytes that wait.
    var count: Int { bytes.count - head }

    /// Descriptors that wait.
    var descriptorCount: Int { descriptors.count }

    /// Whether a whole message waits.
    var hasFrame: Bool { framesEnded > framesTaken }

    /// Whether bytes of an unfinished message wait behind the whole ones.
    var hasUnfinishedFrame: Bool { !lastByteWasEnd }

    /// Appends what one read returned.
    mutating func append(_ received: UnsafeRawBufferPointer, descriptors new: some Collection<CInt>) {
        guard let last = received.last else { return }
        var starts = received.dropLast().count(where: { $0 == 0 })
        if lastByteWasEnd { starts += 1 }
        let ends = received.count(where: { $0 == 0 })
        // The last message to start here; when none does, the one in progress, whose position is `framesEnded`.
        let owner = lastByteWasEnd ? framesEnded + UInt64(starts) - 1 : framesEnded + UInt64(starts)
        for descriptor in new { descriptors.append((owner, descriptor)) }
        framesEnded += UInt64(ends)
        lastByteWasEnd = last == 0
        bytes.append(contentsOf: received)
    }

    /// How many descriptors the message in progress, or else the last whole one, has been given.
    var descriptorsOfNewestFrame: Int {
        guard let newest = descriptors.last?.frame else { return 0 }
        return descriptors.count(where: { $0.frame == newest })
    }

    /// Takes the first whole message, without its NUL.
    mutating func next() -> Frame? {
        guard hasFrame, let end = bytes[head...].firstIndex(of: 0) else { return nil }
        let frame = Array(bytes[head..<end])
        let own = descriptors.prefix { $0.frame == framesTaken }.map(\.descriptor)
        descriptors.removeFirst(own.count)
        framesTaken += 1
        head = end + 1
        compact()
        return Frame(bytes: frame, descriptors: own)
    }

    /// Gives up everything, and returns the descriptors to close.
    mutating func removeAll() -> [CInt] {
        let left = descriptors.map(\.descriptor)
        self = FrameBuffer()
        return left
    }

    private mutating func compact() {
        if head == bytes.count {
            bytes = []
            head = 0
        } else if head >= bytes.count - head {
            bytes.removeSubrange(..<head)
            head = 0
        }
    }
}
