import Testing

@testable import ucopyctl

@Suite("The progress bar")
struct ProgressBarTests {
    private let half = ProgressState(done: 1 << 30, total: 2 << 30, rate: Double(1 << 28))

    @Test("everything is shown where there is room")
    func wide() {
        #expect(
            ProgressBar.render(half, width: 80)
                == " 50% [===========>           ]    1.0 GiB of 2.0 GiB   256.0 MiB/s     0:04 left")
    }

    @Test("the bar keeps its place while the numbers beside it change")
    func steady() {
        let states = [
            ProgressState(done: 0, total: 2 << 30, rate: nil),
            ProgressState(done: 1023 << 20, total: 2 << 30, rate: 1023e6),
            ProgressState(done: 2 << 30, total: 2 << 30, rate: 5),
        ]
        let ends = states.map { ProgressBar.render($0, width: 80).prefix { $0 != "]" }.utf8.count }
        #expect(ends == [29, 29, 29])
    }

    @Test("what does not fit is left out, the bar first and the percentage last")
    func narrow() {
        #expect(ProgressBar.render(half, width: 67).contains("["))
        #expect(ProgressBar.render(half, width: 60) == " 50%    1.0 GiB of 2.0 GiB   256.0 MiB/s     0:04 left")
        #expect(ProgressBar.render(half, width: 50) == " 50%    1.0 GiB of 2.0 GiB   256.0 MiB/s")
        #expect(ProgressBar.render(half, width: 30) == " 50%    1.0 GiB of 2.0 GiB")
        #expect(ProgressBar.render(half, width: 10) == " 50%")
        #expect(ProgressBar.render(half, width: 3) == "")
        #expect(ProgressBar.render(half, width: -1) == "")
    }

    @Test("no line is wider than it may be, and the bar never shrinks as work is done")
    func bounded() {
        for width in 0...200 {
            var filled = 0
            for done in 0...20 {
                let state = ProgressState(done: UInt64(done) << 26, total: 20 << 26, rate: done == 0 ? nil : 1e9)
                let line = ProgressBar.render(state, width: width)
                #expect(line.utf8.count <= width)
                let cells = line.filter { $0 == "=" }.count
                #expect(cells >= filled)
                if done > 1 { filled = cells }
            }
        }
    }

    @Test("a complete job fills the bar")
    func full() {
        let line = ProgressBar.render(ProgressState(done: 5, total: 5, rate: nil), width: 80)
        #expect(line.hasPrefix("100% [" + String(repeating: "=", count: 27) + "]        5 B of 5 B"))
        #expect(ProgressBar.render(ProgressState(done: 0, total: 0, rate: nil), width: 80).hasPrefix("100% [="))
    }

    @Test("time left comes from the rate of late")
    func meter() {
        var meter = RateMeter()
        #expect(meter.rate == nil)
        meter.add(time: 100, done: 0)
        #expect(meter.rate == nil)
        meter.add(time: 101, done: 1000)
        #expect(meter.rate == 1000)
        for second in 2...40 { meter.add(time: 100 + Double(second), done: 1000 + UInt64(second - 1) * 10) }
        #expect(meter.rate == 10)
        #expect(ProgressState(done: 50, total: 100, rate: 10).secondsLeft == 5)
        #expect(ProgressState(done: 50, total: 100, rate: 0).secondsLeft == nil)
    }
}
