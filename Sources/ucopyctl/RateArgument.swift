import KCopy

/// A rate as people write it: `unlimited`, `N%` of the time, or bytes per second with a unit.
enum RateArgument {
    /// The rule, for messages.
    static let rule =
        "a rate is bytes per second (64M, 64MiB: 1024-based; 64MB: 1000-based), a share of time from 0% to 100%, or unlimited"

    /// Reads a rate; nil for text that breaks the rule, and for numbers that no 64 bits hold.
    static func parse(_ text: String) -> CopyRate? {
        if text == "unlimited" { return .unlimited }
        if text.hasSuffix("%") {
            guard let percent = number(text.dropLast()), percent <= 100 else { return nil }
            return CopyRate(percent: Int(percent))
        }
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let value = number(digits), let unit = multiplier(text.dropFirst(digits.count)) else { return nil }
        let (bytes, overflow) = value.multipliedReportingOverflow(by: unit)
        return overflow || bytes > UInt64(Int64.max) ? nil : CopyRate(bytesPerSecond: bytes)
    }

    private static func number(_ digits: Substring) -> UInt64? {
        digits.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt64(digits) : nil
    }

    /// `K` and `KiB` are 1024, `KB` is 1000, in either case; nothing and `B` are 1.
    private static func multiplier(_ unit: Substring) -> UInt64? {
        let unit = unit.lowercased()
        if unit.isEmpty || unit == "b" { return 1 }
        let letters = ["k", "m", "g", "t"]
        guard let power = letters.firstIndex(of: String(unit.prefix(1))) else { return nil }
        let base: UInt64
        switch unit.dropFirst() {
        case "", "ib": base = 1024
        case "b": base = 1000
        default: return nil
        }
        return (0..<power).reduce(base) { product, _ in product * base }
    }

    /// A limit for people: `64.0 MiB/s`, `50%`, both, or `unlimited`.
    static func describe(_ rate: CopyRate) -> String {
        let parts = [
            rate.bytesPerSecond.map { $0 == 0 ? "held" : Human.rate(Double($0)) },
            rate.percent < 100 ? "\(rate.percent)%" : nil,
        ].compactMap { $0 }
        return parts.isEmpty ? "unlimited" : parts.joined(separator: ",")
    }
}
