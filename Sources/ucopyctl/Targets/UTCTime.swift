import Glibc

/// Points in time as ISO 8601 has them.
enum UTCTime {
    /// `2026-11-21T04:58:27Z`, rounded down.
    static func text(seconds: Double) -> String {
        guard seconds.isFinite, var time = time_t(exactly: seconds.rounded(.down)) else { return "-" }
        var parts = tm()
        guard gmtime_r(&time, &parts) != nil else { return "-" }
        let date = "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
        return "\(date)T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
    }

    private static func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
