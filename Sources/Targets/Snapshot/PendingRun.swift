import BlockIO

/// Chunks of a snapshot that are on their way to becoming exceptions: they have places in the store, and are being filled or
/// committed. Requests that have to wait for that wait here.
final class PendingRun {
    /// Where the chunks are, and where they go.
    let run: ExceptionRun
    /// The write that fills the chunks by itself, without a copy, or whose data the copy has taken along: it ends with the
    /// commit.
    var filler: BlockRequest?
    /// Parts of writes to the snapshot, in the order in which they came: they go to the store after the commit.
    var followers: [BlockRequest] = []
    /// Writes to the origin: each is told when the chunks are safe, or lost.
    var originWrites: [OriginWrite] = []
    /// Told when the chunks are safe, or lost.
    var whenOver: [() -> Void] = []

    init(_ run: ExceptionRun) {
        self.run = run
    }

    /// The chunks of the origin.
    var chunks: Range<UInt64> { run.old..<run.oldEnd }
}
