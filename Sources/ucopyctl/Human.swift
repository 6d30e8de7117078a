/// Numbers for people. Machines get `--json`.
enum Human {
    private static let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]

    /// Bytes: `512 B`, `4.0 KiB`, `2.0 GiB`.
    static func size(_ bytes: UInt64) -> String {
        if bytes < 1024 { return "\(bytes) B" }
        var value = Double(bytes)
        var unit = 0
        // From 1023.95 on, one decimal would show 1024.0.
        while value >= 1023.95, unit < units.count - 1 {
            value /= 1024
            unit += 1
        }
        return "\(decimal(value, 1)) \(units[unit])"
    }

    /// Bytes per second: `3.6 GiB/s`.
    static func rate(_ bytesPerSecond: Double) -> String {
        guard bytesPerSecond.isFinite, bytesPerSecond > 0 else { return "0 B/s" }
        return size(UInt64(min(bytesPerSecond, 9e18))) + "/s"
    }

    /// A duration that was measured: `0.55 s`, `12.3 s`, `1:02`, `1:02:03`.
    static func duration(_ seconds: Double) -> String {
        if seconds < 9.995 { return decimal(max(seconds, 0), 2) + " s" }
        if seconds < 59.95 { return decimal(seconds, 1) + " s" }
        return clock(seconds)
    }

    /// A duration in whole seconds: `0:07`, `1:02:03`.
    static func clock(_ seconds: Double) -> String {
        let all = Int(min(max(seconds, 0), 3.6e9).rounded())
        let (hours, minutes, rest) = (all / 3600, all / 60 % 60, all % 60)
        return hours > 0 ? "\(hours):\(two(minutes)):\(two(rest))" : "\(minutes):\(two(rest))"
    }

    /// Whole percent, rounded down: 100 only for what is complete.
    static func percent(_ part: UInt64, of whole: UInt64) -> Int {
        whole == 0 || part >= whole ? 100 : min(Int(Double(part) / Double(whole) * 100), 99)
    }

    /// `1 destination`, `2 destinations`.
    static func plural(_ count: Int, _ noun: String) -> String {
        "\(count) \(noun)\(count == 1 ? "" : "s")"
    }

    /// A number with a fixed count of decimals, rounded.
    static func decimal(_ value: Double, _ places: Int) -> String {
        let scale = (0..<places).reduce(1) { scale, _ in scale * 10 }
        let scaled = Int((value * Double(scale)).rounded())
        let fraction = String(scaled % scale)
        return "\(scaled / scale)." + String(repeating: "0", count: places - fraction.count) + fraction
    }

    private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
