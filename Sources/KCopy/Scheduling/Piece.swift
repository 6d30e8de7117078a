import BlockIO

/// One piece of a job on its way: a stretch that is read once and written to every destination.
///
/// | stage          | goes on with                                            |
/// |----------------|---------------------------------------------------------|
/// | reading        | the end of the read                                     |
/// | waitingForTurn | the end of the piece before it (sequential jobs)        |
/// | writing        | the end of the last of its writes                       |
/// | verifying(i)   | the end of reading destination i back                   |
///
/// Zeroes, and what an overlay covers, have nothing to read: they begin as pieces that were read.
struct Piece {
    enum Stage: Equatable {
        case reading
        case waitingForTurn
        case writing
        case verifying(Int)
    }

    /// Its job and client, as indices of the scheduler.
    let job: Int
    let client: Int
    /// Its sectors, counted from the start of the region.
    let range: SectorRange
    /// Its memory; nil for zeroes.
    let pages: PageBudget.Run?
    /// Whether it is zeroes: nothing to read.
    let isZero: Bool
    /// Whether an overlay covers all of it: nothing to read either.
    let isCovered: Bool
    /// Whether its one write is linked to its read, and starts without being asked for.
    let isLinked: Bool
    /// What it weighs in the lane's window, in bytes, and how many operations it may have under way.
    let weight: Int
    let operations: Int

    var stage: Stage
    /// Writes that have not ended.
    var outstanding = 0
    var readFailed = false
    /// Whether it was given up without having been written.
    var dropped = false
    /// Bit i: destination i had an error.
    var failed: UInt32 = 0
}
