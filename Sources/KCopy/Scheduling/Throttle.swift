/// A point in time in nanoseconds of a monotonic clock.
typealias Nanoseconds = UInt64

/// How fast one client may start pieces. Pure: it is told the time.
///
/// The byte rate is a bucket that may be overdrawn: a piece starts while there is anything in it and takes all it
/// needs, so a piece may be larger than what a tick brings. The percent of time is kcopyd's rule: a piece
/// starts while I/O was under way for at most that share of the time, where both counts are halved every second,
/// so that the past fades. It differs in when it looks again: not after a nap, but at the moment at which the
/// share is back in bounds.
struct Throttle {
    /// Whether a piece may start.
    enum Admission: Equatable {
        /// At once.
        case now
        /// At that time.
        case at(Nanoseconds)
        /// To be asked again when a piece of this client ends.
        case afterCompletion
        /// Not before the rate is changed.
        case held
    }

    private static let second: Nanoseconds = 1_000_000_000
    /// What an idle bucket saves up.
    private static let burst: Nanoseconds = second / 4

    private(set) var rate: CopyRate
    private var tokens: Double = 0
    private var filled: Nanoseconds
    private var running = 0
    private var busy: Nanoseconds = 0
    private var total: Nanoseconds = 0
    private var last: Nanoseconds

    init(rate: CopyRate, now: Nanoseconds) {
        self.rate = rate
        filled = now
        last = now
    }

    /// Changes the rate. What was counted under the old one is forgotten.
    mutating func set(_ rate: CopyRate, now: Nanoseconds) {
        self.rate = rate
        tokens = 0
        filled = now
        busy = 0
        total = 0
        last = now
    }

    /// Whether a piece may start now.
    mutating func admission(now: Nanoseconds) -> Admission {
        if rate.percent == 0 || rate.bytesPerSecond == 0 { return .held }
        let share = shareAdmission(now)
        guard share == .now else { return share }
        return bucketAdmission(now)
    }

    /// Counts a piece that starts.
    mutating func started(bytes: UInt64, now: Nanoseconds) {
        advance(now)
        running += 1
        if rate.bytesPerSecond != nil { tokens -= Double(bytes) }
    }

    /// Counts the end of a piece.
    mutating func ended(now: Nanoseconds) {
        advance(now)
        running -= 1
    }

    private mutating func bucketAdmission(_ now: Nanoseconds) -> Admission {
        guard let limit = rate.bytesPerSecond else { return .now }
        let perNanosecond = Double(limit) / Double(Self.second)
        tokens = min(tokens + Double(now - filled) * perNanosecond, Double(Self.burst) * perNanosecond)
        filled = now
        if tokens >= 0 { return .now }
        return .at(now + Nanoseconds((-tokens / perNanosecond).rounded(.up)) + 1)
    }

    private mutating func shareAdmission(_ now: Nanoseconds) -> Admission {
        guard rate.percent < 100 else { return .now }
        advance(now)
        let allowed = total / 100 * Nanoseconds(rate.percent)
        if busy <= allowed { return .now }
        if running > 0 { return .afterCompletion }
        let enough = busy / Nanoseconds(rate.percent) * 100 + 100
        return .at(now + max(enough - min(total, enough), 1))
    }

    private mutating func advance(_ now: Nanoseconds) {
        let passed = now - last
        last = now
        guard rate.percent < 100 else { return }
        total += passed
        if running > 0 { busy += passed }
        while total > Self.second {
            total /= 2
            busy /= 2
        }
    }
}
