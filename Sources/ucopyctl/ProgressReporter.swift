import Glibc
import SystemPackage

/// Where a job's progress goes: the bar on a terminal, and a descriptor for a program.
struct ProgressReporter {
    /// How often either is told of it, in milliseconds.
    static let interval = 200

    private let total: UInt64
    private let hasBar: Bool
    private var descriptor: Int32?
    private var meter = RateMeter()
    private var isDrawn = false
    private var told: UInt64?

    /// - Parameters:
    ///   - total: bytes in all.
    ///   - bar: whether people want to see progress; they do where standard error is a terminal.
    ///   - descriptor: where `done/total` lines go.
    init(total: UInt64, bar: Bool, descriptor: Int32?) {
        self.total = total
        self.descriptor = descriptor
        hasBar = bar && isatty(STDERR_FILENO) == 1 && getenv("TERM").map { String(cString: $0) } != "dumb"
        meter.add(time: Clock.seconds(), done: 0)
    }

    /// Whether anybody wants to know.
    var isWanted: Bool { hasBar || descriptor != nil }

    /// Tells that so many bytes are done.
    mutating func update(done: UInt64) {
        draw(done)
        tell(done, mustArrive: false)
    }

    /// Takes the bar away, and tells the descriptor of the end.
    mutating func finish(done: UInt64) {
        clear()
        tell(done, mustArrive: true)
    }

    /// Takes the bar away, so that something else can be written.
    mutating func clear() {
        if isDrawn { StandardStreams.writeError("\r\u{1B}[K") }
        isDrawn = false
    }

    private mutating func draw(_ done: UInt64) {
        guard hasBar else { return }
        meter.add(time: Clock.seconds(), done: done)
        // The last column stays free: a terminal may wrap behind it.
        let line = ProgressBar.render(
            ProgressState(done: done, total: total, rate: meter.rate), width: Self.terminalWidth() - 1)
        StandardStreams.writeError("\r" + line + "\u{1B}[K")
        isDrawn = true
    }

    /// A reader that is slow misses lines, but never the last; one that is gone is not told any more.
    /// Neither holds up the copy.
    private mutating func tell(_ done: UInt64, mustArrive: Bool) {
        guard let descriptor, told.map({ $0 < done }) ?? true else { return }
        if !mustArrive {
            var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            guard poll(&ready, 1, 0) == 1 else { return }
        }
        do throws(Errno) {
            try StandardStreams.write("\(done)/\(total)\n", to: descriptor)
            told = done
        } catch {
            self.descriptor = nil
        }
    }

    private static func terminalWidth() -> Int {
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }
}

/// The time that only goes forward.
enum Clock {
    /// Seconds since some moment in the past.
    static func seconds() -> Double {
        var now = timespec()
        // With this clock and a valid address it cannot fail.
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
    }
}
