/// How far a job is, as the bar shows it.
struct ProgressState: Hashable {
    /// Bytes done.
    var done: UInt64
    /// Bytes in all.
    var total: UInt64
    /// Bytes per second of late; nil while there is nothing to tell it from.
    var rate: Double?

    /// Seconds to go at that rate.
    var secondsLeft: Double? {
        guard let rate, rate > 0, done <= total else { return nil }
        return Double(total - done) / rate
    }
}

/// The bar: one line of at most so many columns, in ASCII.
enum ProgressBar {
    private static let leastBar = 10
    private static let mostBar = 50

    /// Renders a line of at most `width` columns. What does not fit is left out: first the bar, then
    /// the time left, the rate, and the sizes; a width below the percentage shows nothing.
    static func render(_ state: ProgressState, width: Int) -> String {
        let percent = Human.percent(state.done, of: state.total)
        let head = pad("\(percent)%", 4)
        // Every part has room for its longest text: a bar that changed its length would be hard to look at.
        let sizes = "\(pad(Human.size(state.done), 10)) of \(Human.size(state.total))"
        let rate = pad(state.rate.map { Human.rate($0) } ?? "", 12)
        let left = pad(state.secondsLeft.map { Human.clock($0) + " left" } ?? "", 12)
        let full = [sizes, rate, left]
        let tails = (0...full.count).reversed().map { full.prefix($0).joined(separator: "  ") }
        guard let tail = tails.first(where: { line(head, "", $0).utf8.count <= width }) else { return "" }
        let room = width - line(head, "", tail).utf8.count - 3
        guard tail == tails.first, room >= leastBar else { return line(head, "", tail) }
        return line(head, bar(state, cells: min(room, mostBar)), tail)
    }

    private static func line(_ parts: String...) -> String {
        parts.filter { !$0.isEmpty }.joined(separator: " ")
    }

    private static func bar(_ state: ProgressState, cells: Int) -> String {
        let share = state.total == 0 ? 1 : Double(min(state.done, state.total)) / Double(state.total)
        let filled = Int(Double(cells) * share)
        let tip = filled < cells ? ">" : ""
        return "[" + String(repeating: "=", count: filled) + tip
            + String(repeating: " ", count: cells - filled - tip.utf8.count) + "]"
    }

    private static func pad(_ text: String, _ columns: Int) -> String {
        String(repeating: " ", count: max(columns - text.utf8.count, 0)) + text
    }
}

/// The rate of the last few seconds.
struct RateMeter {
    private static let window = 16
    private var samples: [(time: Double, done: UInt64)] = []

    /// Notes that `done` bytes were done at `time` (seconds of any clock that only goes forward).
    mutating func add(time: Double, done: UInt64) {
        samples.append((time, done))
        if samples.count > Self.window { samples.removeFirst() }
    }

    /// Bytes per second between the oldest and the newest sample; nil before there are two.
    var rate: Double? {
        guard let first = samples.first, let last = samples.last, last.time > first.time, last.done >= first.done
        else { return nil }
        return Double(last.done - first.done) / (last.time - first.time)
    }
}
