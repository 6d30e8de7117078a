import KCopy
import Testing

@testable import ucopyctl

@Suite("Rates on the command line")
struct RateArgumentTests {
    @Test(
        "a rate is a number with a unit, a share of time, or unlimited",
        arguments: [
            ("unlimited", CopyRate.unlimited),
            ("0", CopyRate(bytesPerSecond: 0)),
            ("1", CopyRate(bytesPerSecond: 1)),
            ("512B", CopyRate(bytesPerSecond: 512)),
            ("64k", CopyRate(bytesPerSecond: 65536)),
            ("64K", CopyRate(bytesPerSecond: 65536)),
            ("64KiB", CopyRate(bytesPerSecond: 65536)),
            ("64kB", CopyRate(bytesPerSecond: 64000)),
            ("2M", CopyRate(bytesPerSecond: 2 << 20)),
            ("2MiB", CopyRate(bytesPerSecond: 2 << 20)),
            ("2MB", CopyRate(bytesPerSecond: 2_000_000)),
            ("3G", CopyRate(bytesPerSecond: 3 << 30)),
            ("3GiB", CopyRate(bytesPerSecond: 3 << 30)),
            ("3GB", CopyRate(bytesPerSecond: 3_000_000_000)),
            ("1T", CopyRate(bytesPerSecond: 1 << 40)),
            ("0%", CopyRate(percent: 0)),
            ("50%", CopyRate(percent: 50)),
            ("100%", CopyRate(percent: 100)),
        ])
    func reads(_ text: String, _ rate: CopyRate) {
        #expect(RateArgument.parse(text) == rate)
    }

    @Test(
        "anything else is refused",
        arguments: [
            "", "M", "-1", "+1", "1.5G", "64 M", "64X", "64MM", "64iB", "64Mi", "101%", "-5%", "%", "1e6", "unlimitted",
            "18446744073709551616", "9223372036854775808", "99999999999T", "٣M", "5%%",
        ])
    func refuses(_ text: String) {
        #expect(RateArgument.parse(text) == nil)
    }

    @Test(
        "limits are shown as they hold",
        arguments: [
            (CopyRate.unlimited, "unlimited"), (CopyRate(bytesPerSecond: 64 << 20), "64.0 MiB/s"),
            (CopyRate(percent: 50), "50%"),
            (CopyRate(bytesPerSecond: 1 << 20, percent: 10), "1.0 MiB/s,10%"), (CopyRate(bytesPerSecond: 0), "held"),
        ])
    func describes(_ rate: CopyRate, _ text: String) {
        #expect(RateArgument.describe(rate) == text)
    }
}
