import DequeModule

/// A client as the scheduler keeps it.
///
/// | state    | becomes ready                                       |
/// |----------|-----------------------------------------------------|
/// | idle     | with a job that has something to claim              |
/// | ready    | (stands in the queue of its priority)               |
/// | starved  | when a piece of it ends (pages, share of time)      |
/// | sleeping | at a time, or with another rate                     |
/// | held     | with another rate                                   |
struct ScheduledClient {
    enum State: Equatable {
        case idle
        case ready
        case starved
        case sleeping(Nanoseconds)
        case held
    }

    let priority: CopyPriority
    /// Sectors of a full piece: a quarter of the budget, so that reading and writing overlap, and 512 KiB at most.
    let pieceSectors: UInt64
    var budget: PageBudget
    var throttle: Throttle
    var state = State.idle
    /// Jobs with something to claim, the next one to be served first.
    var jobs: Deque<Int> = []
    /// Its pieces under way.
    var inFlight = 0
    /// All its jobs that have not finished.
    var unfinished = 0
    /// What it may still claim in its turn, in bytes.
    var deficit = 0

    init(pages: Int, priority: CopyPriority, rate: CopyRate, now: Nanoseconds) {
        self.priority = priority
        budget = PageBudget(pages: pages)
        throttle = Throttle(rate: rate, now: now)
        pieceSectors = UInt64(min(max(pages / 4, 1), 128)) * 8
    }
}
