import Testing

@testable import ucopyctl

@Suite("Numbers for people")
struct HumanTests {
    @Test(
        "sizes have one decimal from KiB on",
        arguments: [
            (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1_048_575, "1.0 MiB"),
            (1 << 20, "1.0 MiB"),
            (2 << 30, "2.0 GiB"), (UInt64.max, "16.0 EiB"),
        ] as [(UInt64, String)])
    func sizes(_ bytes: UInt64, _ text: String) {
        #expect(Human.size(bytes) == text)
    }

    @Test(
        "durations get coarser as they get longer",
        arguments: [
            (0, "0.00 s"), (0.004, "0.00 s"), (0.55, "0.55 s"), (9.994, "9.99 s"), (9.996, "10.0 s"), (59.94, "59.9 s"),
            (59.96, "1:00"), (62, "1:02"), (3599.6, "1:00:00"), (3723, "1:02:03"),
        ] as [(Double, String)])
    func durations(_ seconds: Double, _ text: String) {
        #expect(Human.duration(seconds) == text)
    }

    @Test("only what is complete is 100 percent")
    func percent() {
        #expect(Human.percent(0, of: 0) == 100)
        #expect(Human.percent(0, of: 3) == 0)
        #expect(Human.percent(2, of: 3) == 66)
        #expect(Human.percent(999, of: 1000) == 99)
        #expect(Human.percent(.max - 1, of: .max) == 99)
        #expect(Human.percent(3, of: 3) == 100)
    }

    @Test("a rate that cannot be told is 0", arguments: [0, -1, Double.nan, .infinity])
    func rates(_ rate: Double) {
        #expect(Human.rate(rate) == "0 B/s")
    }

    @Test("control characters in names are made visible")
    func visible() {
        #expect(StandardStreams.visible("a\nb\u{1B}[31m\u{7f}é") == "a\\x0ab\\x1b[31m\\x7fé")
    }
}
