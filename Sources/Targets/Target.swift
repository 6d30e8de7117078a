public import BlockIO

/// A target: what one line of a table does with the requests of its sectors. Belongs to a queue thread.
///
/// The life of a target, as in the kernel: it is constructed when a table is loaded; `preresume` may refuse, `resume`
/// makes it serve; `presuspend` and, when no request is with it any more, `postsuspend`; `destroy` ends it. The order when a
/// table takes another's place: the old targets' `postsuspend`, the new ones' `preresume` and `resume`, the old ones' `destroy`.
public protocol Target: AnyObject {
    /// What the table calls it.
    var typeName: String { get }
    /// What it says of itself to the mapped device, which sends it nothing else.
    var abilities: TargetAbilities { get }
    /// The devices that it uses.
    var devices: [any TargetDevice] { get }
    /// The words behind the type in a table line, as the kernel prints them.
    var tableText: String { get }
    /// The words behind the type in a status line, as the kernel prints them.
    var statusText: String { get }
    /// What it tells beyond the status line.
    var details: [TargetDetail] { get }
    /// Called on the queue thread with what happens to it; set by the mapped device.
    var onEvent: ((TargetEvent) -> Void)? { get set }

    /// Takes a request, whose range lies inside the target, in sectors of the mapped device. An empty flush is one request.
    func handle(_ request: BlockRequest)
    /// What is known of a range without reading it: see `ServedDevice.allocation`.
    func allocation(in range: SectorRange, limit: Int) -> [Allocation]

    /// No request but a flush, once nothing else is under way, will come until `resume`. Gives back by `requeue` what it holds for longer than I/O takes.
    func presuspend(requeue: @escaping (BlockRequest) -> Void, done: @escaping () -> Void)
    /// Every request has ended.
    func postsuspend()
    /// Whether it can resume; asked before anything has changed.
    func preresume() throws(TargetError)
    /// Requests may come from now on.
    func resume()
    /// Takes the words of a message, and answers.
    /// - Throws: `invalidArgument` for a message that it does not know.
    func message(_ words: [String]) throws(TargetError) -> String
    /// Ends it, with its devices. It is suspended, or has never been resumed.
    func destroy(_ done: @escaping () -> Void)
}

/// What a target can do.
public struct TargetAbilities: Hashable, Sendable {
    /// What positions and lengths are multiples of, in sectors.
    public var logicalBlockSectors: UInt64 = 1
    /// The length that is best for it, in sectors.
    public var preferredSectors: UInt64 = 8
    /// Requests are cut so that none crosses a multiple of this, counted from the target's start; nil where none is cut.
    public var boundary: UInt64?
    /// Whether discards are passed to it.
    public var canDiscard = false
    /// Whether it takes write-zeroes; where not, the mapped device writes zeroes.
    public var canWriteZeroes = false
    /// Whether flushes are passed to it.
    public var canFlush = true
    /// Whether it can only be the one target of its table, from sector 0 on.
    public var isAlone = false
    /// Whether it refuses writes.
    public var isReadOnly = false

    /// Abilities of a target that reads, writes and flushes.
    public init() {}
}

/// Something that a target tells beyond its status line: numbers are numbers, sizes are bytes.
public struct TargetDetail: Hashable, Sendable {
    /// What it is, in camel case.
    public var name: String
    /// How much.
    public var value: Value

    /// A number or a word.
    public enum Value: Hashable, Sendable {
        case number(UInt64)
        case text(String)
        case flag(Bool)
    }

    /// A detail.
    public init(_ name: String, _ value: Value) {
        self.name = name
        self.value = value
    }
}

/// Something that has happened to a target, and that somebody may wait for.
public struct TargetEvent: Hashable, Sendable {
    /// What happened.
    public enum Kind: String, Hashable, Sendable, CaseIterable {
        /// A snapshot cannot be used any more.
        case invalidated
        /// The store is full: the snapshot takes no more writes.
        case overflow
        /// The store is full: writers wait until it grows.
        case held
        /// The store has grown, and writers go on.
        case released
        /// The store is full, and the snapshot has ended; its origin goes on.
        case detached
        /// The store has become fuller by a tenth.
        case fill
        /// A merge has got on by a tenth.
        case mergeProgress
        /// A merge has come to its end.
        case mergeFinished
        /// A merge cannot go on.
        case mergeFailed
    }

    /// What happened.
    public var kind: Kind
    /// The details, for people.
    public var text: String
    /// Whether the kernel's target raises the device's event number for it as well.
    public var isKernels: Bool { kind == .invalidated }

    /// An event.
    public init(_ kind: Kind, _ text: String) {
        self.kind = kind
        self.text = text
    }
}
