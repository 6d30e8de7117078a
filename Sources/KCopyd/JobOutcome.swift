import ControlAPI
import KCopy

/// How a job ended, wherever it ran: what both kinds of callback are told.
struct JobOutcome: Sendable {
    var readError = false
    /// Bit i is set if destination i had an error.
    var writeErrors: UInt32 = 0
    var isCancelled = false
    /// The first fault's error number, positive; 0 where there was none.
    var errno: Int32 = 0
    /// Sectors that reached every destination without an error.
    var copied: UInt64 = 0
    /// The sector of the region before which everything did.
    var resumeAt: UInt64 = 0
}

extension JobOutcome {
    /// Of a job of this process.
    init(_ result: CopyResult) {
        self.init(
            readError: result.readError, writeErrors: result.writeErrors, isCancelled: result.isCancelled,
            errno: result.faults.first?.errno ?? 0, copied: result.copied, resumeAt: result.resumeAt)
    }

    /// Of a job of the daemon.
    init(_ job: CopyInterface.Job) {
        self.init(
            readError: job.readError, isCancelled: job.state == .cancelled, errno: job.faults.first?.errno ?? 0,
            copied: job.copiedBytes >> 9, resumeAt: job.resumeAt)
        for (index, isBad) in job.writeErrors.enumerated() where isBad { writeErrors |= 1 << UInt32(index) }
    }

    /// Of a job whose daemon has gone: nobody knows what was written.
    static func lost(destinations: Int, errno: Int32) -> JobOutcome {
        JobOutcome(readError: true, writeErrors: 1 << UInt32(destinations) - 1, errno: errno)
    }
}
