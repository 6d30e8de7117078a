import BlockIO

/// Requests that are used again: those that have ended wait here for the next one.
struct RequestPool {
    /// How many are kept.
    private static let most = 1024

    private var spare: [BlockRequest] = []
    private let ended: (BlockRequest) -> Void

    /// - Parameter ended: called for every end of every request.
    init(ended: @escaping (BlockRequest) -> Void) { self.ended = ended }

    /// A request that has yet to be described.
    mutating func take() -> BlockRequest { spare.popLast() ?? BlockRequest(ended: ended) }

    /// Takes back a request that has ended.
    mutating func give(_ request: BlockRequest) {
        request.parent = nil
        request.next = nil
        if spare.count < Self.most { spare.append(request) }
    }
}
