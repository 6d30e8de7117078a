import BlockIO
import Glibc
import Testing

@testable import KCopy

@Suite("The scheduler cuts jobs into pieces")
struct SchedulerPieceTests {
    @Test("1.25 MiB is cut into 512, 512 and 256 KiB")
    func cutsIntoSubJobs() {
        var driver = SchedulerDriver()
        let client = driver.client()
        let job = driver.job(client, 2560)
        driver.endAll()
        #expect(
            driver.claimed[job] == [
                SectorRange(start: 0, count: 1024), SectorRange(start: 1024, count: 1024),
                SectorRange(start: 2048, count: 512),
            ])
        #expect(driver.results[job]?.copied == 2560)
        #expect(driver.results[job]?.isSuccess == true)
    }

    @Test("One page finishes a job, one page at a time")
    func onePageIsEnough() {
        var driver = SchedulerDriver()
        let client = driver.client(1)
        let job = driver.job(client, 100, to: 3)
        driver.pump()
        while !driver.pending.isEmpty {
            #expect(Set(driver.pending.map(\.pieceOrNone)).count == 1)
            driver.end(0)
        }
        #expect(driver.claimed[job]?.map(\.count) == Array(repeating: 8, count: 12) + [4])
        #expect(driver.results[job]?.copied == 100)
    }

    @Test("A job of no sectors finishes at once, without errors and without I/O")
    func emptyJobFinishes() {
        var driver = SchedulerDriver()
        let client = driver.client()
        let job = driver.job(client, 0, [.flush, .verify])
        driver.pump()
        #expect(driver.pending.isEmpty)
        #expect(driver.results[job] == CopyResult())
    }

    @Test("Pieces are multiples of the largest logical block", arguments: [1, 8, 32, 128] as [UInt64])
    func piecesKeepBlocks(block: UInt64) {
        var driver = SchedulerDriver()
        let client = driver.client(21)
        let job = driver.job(client, block * 37, block: block)
        driver.endAll()
        #expect(driver.claimed[job]?.allSatisfy { $0.start % block == 0 && $0.count % block == 0 } == true)
        #expect(driver.results[job]?.copied == block * 37)
    }

    @Test("Zeroes take no pages where devices zero by themselves, and come in long pieces")
    func zeroesTakeNoPages() {
        var driver = SchedulerDriver()
        let client = driver.client(1)
        let job = driver.job(client, 100_000, isZero: true)
        driver.pump()
        #expect(driver.scheduler.clients[client].budget.free == 1)
        #expect(driver.pending.count == 4)
        driver.endAll()
        #expect(driver.claimed[job]?.first?.count == 32768)
        #expect(driver.results[job]?.copied == 100_000)
    }

    @Test("Holes are zeroed and not read; data between them is copied")
    func skipsHoles() {
        var driver = SchedulerDriver()
        driver.extents = { _, from in
            from < 5000
                ? [Extent(end: 1000, isHole: true), Extent(end: 5000, isHole: false)]
                : [Extent(end: 80_000, isHole: true), Extent(end: 80_008, isHole: false)]
        }
        let client = driver.client()
        let job = driver.job(client, 80_008, [.skipHoles])
        driver.pump()
        var read: UInt64 = 0
        while !driver.pending.isEmpty {
            if case .read(let piece) = driver.pending[0] { read += driver.scheduler.pieces[piece].range.count }
            driver.end(0)
        }
        #expect(read == 4008)
        #expect(driver.results[job]?.copied == 80_008)
        #expect(driver.results[job]?.resumeAt == 80_008)
    }
}

@Suite("The scheduler keeps errors to the rules")
struct SchedulerErrorTests {
    /// Fails operations of one kind on the piece that holds a sector.
    private func fault(
        at sector: UInt64, _ matches: @escaping (SchedulerDriver.Pending) -> Bool, _ errno: Int32 = EIO
    ) -> (SchedulerDriver.Pending, SectorRange) -> Int32 {
        { operation, range in matches(operation) && range.start <= sector && sector < range.end ? errno : 0 }
    }

    @Test("After a read error no new piece is claimed, the piece is not written, those under way finish")
    func readErrorStops() {
        var driver = SchedulerDriver()
        driver.fault = fault(at: 2000) { if case .read = $0 { true } else { false } }
        let client = driver.client(512)
        let job = driver.job(client, 100_000, to: 2)
        driver.pump()
        #expect(driver.pending.count == 4)
        driver.endAll()
        #expect(driver.claimed[job]?.count == 4)
        #expect(driver.writes[job]?.contains(SectorRange(start: 1024, count: 1024)) == false)
        #expect(driver.results[job]?.readError == true)
        #expect(driver.results[job]?.writeErrors == 0)
        #expect(driver.results[job]?.resumeAt == 1024)
        #expect(driver.results[job]?.copied == 3 * 1024)
    }

    @Test("With ignore-errors every piece is tried, and what was not read is not written")
    func ignoreErrorsGoesOn() {
        var driver = SchedulerDriver()
        driver.fault = fault(at: 2000) { if case .read = $0 { true } else { false } }
        let client = driver.client(512)
        let job = driver.job(client, 10_240, to: 2, [.ignoreErrors])
        driver.endAll()
        #expect(driver.claimed[job]?.count == 10)
        #expect(driver.writes[job]?.count == 9)
        #expect(driver.writes[job]?.contains(SectorRange(start: 1024, count: 1024)) == false)
        let result = driver.results[job]
        #expect(result?.readError == true)
        #expect(result?.copied == 9 * 1024)
        #expect(result?.faults == [CopyFault(side: .source, range: SectorRange(start: 1024, count: 1024), errno: EIO)])
    }

    @Test("A write error sets its destination's bit; the other destinations of the piece are written")
    func writeErrorSetsBit() {
        var driver = SchedulerDriver()
        driver.fault = fault(at: 0, { if case .write(_, 2) = $0 { true } else { false } }, ENOSPC)
        let client = driver.client(512)
        let job = driver.job(client, 100_000, to: 4)
        driver.endAll()
        #expect(driver.results[job]?.writeErrors == 0b0100)
        #expect(driver.results[job]?.readError == false)
        #expect(driver.results[job]?.resumeAt == 0)
        #expect(driver.results[job]?.faults.first?.errno == ENOSPC)
        #expect((driver.claimed[job]?.count ?? 0) < 10)
    }

    @Test("Bits of several pieces add up with ignore-errors")
    func bitsAddUp() {
        var driver = SchedulerDriver()
        driver.fault = { operation, range in
            if case .write(_, let destination) = operation {
                return range.start / 1024 == UInt64(destination) ? EIO : 0
            }
            return 0
        }
        let client = driver.client()
        let job = driver.job(client, 10 * 1024, to: 3, [.ignoreErrors])
        driver.endAll()
        #expect(driver.results[job]?.writeErrors == 0b111)
        #expect(driver.results[job]?.copied == 7 * 1024)
    }

    @Test("A read error of a linked piece counts once, as a read error")
    func linkedReadError() {
        var driver = SchedulerDriver()
        driver.fault = fault(at: 0) { if case .read = $0 { true } else { false } }
        let client = driver.client()
        let job = driver.job(client, 1024)
        driver.endAll()
        #expect(driver.results[job]?.readError == true)
        #expect(driver.results[job]?.writeErrors == 0)
        #expect(driver.results[job]?.faults.count == 1)
    }

    @Test("A cancelled write of a linked piece whose read was good is a write error")
    func linkedWriteCancelled() {
        var driver = SchedulerDriver()
        driver.fault = fault(at: 0, { if case .linkedWrite = $0 { true } else { false } }, ECANCELED)
        let client = driver.client()
        let job = driver.job(client, 1024)
        driver.endAll()
        #expect(driver.results[job]?.writeErrors == 1)
    }

    @Test("Verification reads every destination back that was written, and a difference is a write error")
    func verifyFindsDifference() {
        var driver = SchedulerDriver()
        driver.fault = { operation, _ in
            switch operation {
            case .write(_, 0): EIO
            case .readBack(_, 2): EILSEQ
            default: 0
            }
        }
        var readBack: [Int] = []
        let client = driver.client()
        let job = driver.job(client, 100, to: 4, [.verify])
        driver.pump()
        while !driver.pending.isEmpty {
            if case .readBack(_, let destination) = driver.pending[0] { readBack.append(destination) }
            driver.end(0)
        }
        #expect(readBack == [1, 2, 3])
        #expect(driver.results[job]?.writeErrors == 0b0101)
    }

    @Test("A failed flush is a write error of its destination")
    func flushError() {
        var driver = SchedulerDriver()
        driver.fault = { operation, _ in if case .flush(_, 1) = operation { EIO } else { 0 } }
        let client = driver.client()
        let job = driver.job(client, 100, to: 2, [.flush])
        driver.endAll()
        #expect(driver.results[job]?.writeErrors == 0b10)
    }

    @Test("What one destination has got is flushed although another has got nothing")
    func flushBesideFailure() {
        var driver = SchedulerDriver()
        driver.fault = { operation, _ in
            switch operation {
            case .write(_, 1), .flush(_, 0): EIO
            default: 0
            }
        }
        let client = driver.client()
        let job = driver.job(client, 4096, to: 2, [.flush, .ignoreErrors])
        driver.endAll()
        #expect(driver.results[job]?.writeErrors == 0b11)
    }

    @Test("Pieces that wait for their turn do not keep what else there is to do from being started")
    func waitingPiecesDelayNobody() {
        var driver = SchedulerDriver()
        // Pieces of an eighth of a turn.
        let sequential = driver.client(64)
        let other = driver.client()
        _ = driver.job(sequential, 8 * 1024, [.sequential], isZero: true, zeroesAreCheap: false)
        let job = driver.job(other, 1024)
        driver.pump()
        #expect(driver.claimed[job] != nil)
    }

    @Test(
        "Sequential jobs write in ascending order, one piece at a time, in whatever order reads end", arguments: 1...20)
    func sequentialOrder(seed: Int) {
        var driver = SchedulerDriver()
        var generator = SeededGenerator(seed: UInt64(seed))
        let client = driver.client(512)
        let job = driver.job(client, 20 * 1024, to: 2, [.sequential])
        driver.pump()
        while !driver.pending.isEmpty {
            let writing = Set(driver.pending.compactMap { if case .write(let piece, _) = $0 { piece } else { nil } })
            #expect(writing.count <= 1)
            driver.end(Int.random(in: 0..<driver.pending.count, using: &generator))
        }
        let starts = driver.writes[job]?.map(\.start) ?? []
        #expect(starts == starts.sorted())
        #expect(driver.results[job]?.copied == 20 * 1024)
    }

    @Test("A sequential job with a read error ends, and nothing behind the error is written", arguments: 1...20)
    func sequentialReadErrorEnds(seed: Int) {
        var driver = SchedulerDriver()
        var generator = SeededGenerator(seed: UInt64(seed))
        driver.fault = fault(at: 3 * 1024) { if case .read = $0 { true } else { false } }
        let client = driver.client(2048)
        let job = driver.job(client, 20 * 1024, to: 2, [.sequential, .ignoreErrors])
        driver.endAll(using: &generator)
        #expect(driver.results[job]?.readError == true)
        #expect(driver.results[job]?.resumeAt == 3 * 1024)
        #expect(driver.writes[job]?.map(\.start) == [0, 1024, 2048])
    }

    @Test("After a write error of a sequential job nothing behind it is written", arguments: 1...20)
    func sequentialWriteErrorEnds(seed: Int) {
        var driver = SchedulerDriver()
        var generator = SeededGenerator(seed: UInt64(seed))
        driver.fault = fault(at: 1024) { if case .write = $0 { true } else { false } }
        let client = driver.client(2048)
        let job = driver.job(client, 20 * 1024, to: 1, [.sequential])
        driver.endAll(using: &generator)
        #expect(driver.results[job]?.writeErrors == 1)
        #expect(driver.writes[job]?.map(\.start) == [0, 1024])
        #expect(driver.results[job]?.resumeAt == 1024)
    }

    @Test("Cancelling claims nothing more, finishes what is under way, and tells where it stopped")
    func cancelStops() {
        var driver = SchedulerDriver()
        let client = driver.client(512)
        let job = driver.job(client, 100_000)
        driver.pump()
        driver.scheduler.cancel(job)
        driver.endAll()
        #expect(driver.claimed[job]?.count == 4)
        #expect(driver.results[job]?.isCancelled == true)
        #expect(driver.results[job]?.resumeAt == 4 * 1024)
        #expect(driver.scheduler.clients[client].budget.free == 512)
    }

    @Test("A job that has claimed everything is not cancelled any more")
    func cancelComesTooLate() {
        var driver = SchedulerDriver()
        let client = driver.client()
        let job = driver.job(client, 100)
        driver.pump()
        driver.scheduler.cancel(job)
        driver.endAll()
        #expect(driver.results[job]?.isSuccess == true)
    }

    @Test("A job that is cancelled while it waits for its holes to be found ends when they are")
    func cancelWhileMapping() {
        var driver = SchedulerDriver()
        driver.extents = { _, _ in [Extent(end: 5000, isHole: false)] }
        let client = driver.client()
        let job = driver.job(client, 5000, [.skipHoles])
        driver.pump()
        #expect(driver.pending == [.map(job: job, from: 0)])
        driver.scheduler.cancel(job)
        driver.endAll()
        #expect(driver.results[job]?.isCancelled == true)
        #expect(driver.results[job]?.copied == 0)
    }
}

extension SchedulerDriver.Pending {
    /// The piece it belongs to.
    var pieceOrNone: Int? {
        switch self {
        case .read(let piece), .linkedWrite(let piece), .write(let piece, _), .readBack(let piece, _): piece
        case .flush, .map: nil
        }
    }
}
