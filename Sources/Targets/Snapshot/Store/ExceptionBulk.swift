import BlockIO

/// Makes an `ExceptionTable` of a whole list, and checks every exception on the way.
///
/// Reading and parsing overlap: while one thread reads a round, others deal the runs of the round before to buckets by
/// their old chunks, each thread to buckets of its own. When all are there, each bucket, which fits into a cache, is
/// sorted and made leaves of by itself.
///
/// It says only whether all exceptions are good: naming a bad one takes a second look (`FaultFinder`), which a good
/// store is spared.
final class ExceptionBulk {
    /// Bytes of entries that are one job of a lane.
    private static let jobBytes = 64 << 10
    /// Bytes of entries that are looked at several times while they are in the smallest cache.
    private static let checkedAtOnce = 4 << 10
    /// Bytes of a round that are worth several threads.
    private static let worthSharing = 256 << 10

    private let olds: RunCollector
    private let taken: ChunkSet
    /// In place of `taken` where the store is too large for a bit per chunk: runs the other way round.
    private let news: RunCollector?
    /// One for each lane.
    private let checks: UnsafeMutableBufferPointer<EntryCheck>

    /// - Parameters:
    ///   - storeChunks: whole chunks of the store: the limit of new chunks.
    ///   - originChunks: the limit of old chunks; nil where the origin is unknown.
    ///   - bitLimit: the largest store that gets a bit for each chunk.
    init(
        geometry: StoreGeometry, storeChunks: UInt64, originChunks: UInt64?, bitLimit: UInt64 = ChunkSet.limit,
        lanes: Int = Lanes.count
    ) {
        let newLimit = min(storeChunks, StoreGeometry.chunkLimit)
        let oldLimit = min(originChunks ?? .max, StoreGeometry.chunkLimit)
        olds = RunCollector(oldLimit: oldLimit, newLimit: newLimit, lanes: lanes)
        if newLimit <= bitLimit, let set = ChunkSet(chunks: newLimit) {
            taken = set
            news = nil
        } else {
            guard let none = ChunkSet(chunks: 0) else { preconditionFailure("no memory for a word") }
            taken = none
            news = RunCollector(oldLimit: newLimit, newLimit: oldLimit, lanes: lanes)
        }
        checks = .allocate(capacity: lanes)
        checks.initialize(
            repeating: EntryCheck(
                geometry: geometry, storeChunks: newLimit, oldLimit: oldLimit, usesBits: news == nil))
    }

    deinit { checks.deallocate() }

    /// The highest new chunk, 0 while there is none.
    var highestNew: UInt64 { checks.reduce(0) { max($0, $1.highestNew) } }

    // MARK: Taking

    /// Takes a whole list; answers where it ends.
    func append(_ list: ExceptionList) throws(BlockError) -> ExceptionList.End {
        let reader = ListReader(list)
        var round = try reader.next()
        while let stretches = round {
            let bytes = stretches.reduce(0) { $0 + $1.bytes.count }
            if bytes < Self.worthSharing {
                for stretch in stretches { append(stretch.bytes) }
                round = try reader.next()
                continue
            }
            let jobs = stretches.flatMap { Self.parts($0.bytes, Self.jobBytes) }
            var next = Result<[ListReader.Stretch]?, BlockError>.success(nil)
            Lanes.perform(jobs.count + 1, lanes: checks.count) { job, lane in
                if job > 0 { return append(jobs[job - 1], lane: lane) }
                do throws(BlockError) { next = .success(try reader.next()) } catch { next = .failure(error) }
            }
            round = try next.get()
        }
        guard let end = reader.end else { preconditionFailure("a list that was read has no end") }
        return end
    }

    private static func parts(
        _ bytes: UnsafeRawBufferPointer, _ size: Int
    ) -> some Sequence<UnsafeRawBufferPointer> {
        stride(from: 0, to: bytes.count, by: size).lazy.map {
            UnsafeRawBufferPointer(rebasing: bytes[$0..<min($0 + size, bytes.count)])
        }
    }

    /// Takes entries that are all in use. No two threads are in a lane at the same time.
    func append(_ bytes: UnsafeRawBufferPointer, lane: Int = 0) {
        for part in Self.parts(bytes, Self.checkedAtOnce) {
            // After a bad one there is no table to be made.
            guard let digest = checks[lane].take(part, taken) else { continue }
            olds.append(part, lane: lane, hasRuns: digest.hasRuns)
            news?.append(part, lane: lane, hasRuns: digest.hasRuns, isReversed: true)
        }
    }

    // MARK: Building

    /// The table of all that was taken; nil where an exception breaks a rule.
    func build() -> ExceptionTable? {
        if checks.contains(where: { $0.isBad }) { return nil }
        if let news, ExceptionTable.make(of: news.build()) == nil { return nil }
        return ExceptionTable.make(of: olds.build())
    }
}
