import ControlAPI
import KCopy

/// What is to be done, for whoever does it.
struct JobOrder {
    /// "copy" or "zero".
    var verb: String
    var plan: TransferPlan
    var flags: CopyFlags
    var rate: CopyRate
    var priority: CopyInterface.Priority
    /// Budget in pages of 4 KiB.
    var pages: Int
    /// Whether held destinations were asked for.
    var force: Bool
}

/// A job under way. Its end, and what becomes known of it before, goes to the mailbox that it was started with.
protocol RunningJob {
    /// Bytes done so far; nil where the job tells by itself.
    var bytesDone: UInt64? { get }
    /// Asks the job to stop; its end still comes.
    func cancel()
    /// Gives back what the job took. Called when it has ended.
    func end()
}
