import BlockIO

/// Requests one behind the other, through their own links. A request is in one list at most.
struct RequestList {
    private var first: BlockRequest?
    private var last: BlockRequest?

    var isEmpty: Bool { first == nil }

    /// Puts a request behind the others.
    mutating func append(_ request: BlockRequest) {
        request.next = nil
        if let last { last.next = request } else { first = request }
        last = request
    }

    /// Puts a request before the others.
    mutating func prepend(_ request: BlockRequest) {
        request.next = first
        first = request
        if last == nil { last = request }
    }

    /// Takes the first request out.
    mutating func popFirst() -> BlockRequest? {
        guard let request = first else { return nil }
        first = request.next
        if first == nil { last = nil }
        request.next = nil
        return request
    }
}
