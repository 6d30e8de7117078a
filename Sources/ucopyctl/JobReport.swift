import BlockIO
import ControlAPI
import KCopy

/// How a job ended, whoever ran it.
struct JobReport: Sendable {
    /// Bytes that reached every destination without an error.
    var bytes: UInt64
    /// Bytes in all.
    var totalBytes: UInt64
    /// How long it took.
    var seconds: Double
    /// Whether any read failed.
    var readError: Bool
    /// Whether a destination had errors, for each.
    var writeErrors: [Bool]
    /// Whether it was cancelled.
    var cancelled: Bool
    /// The sector of the region before which everything was copied without an error.
    var resumeAt: UInt64
    /// The first errors; sectors count from the start of the region.
    var faults: [CopyInterface.Fault]

    /// Whether anything failed.
    var hasErrors: Bool { readError || writeErrors.contains(true) }

    /// What the copy service of this process answered for a job of `sectors`.
    init(_ result: CopyResult, sectors: UInt64, destinations: Int, seconds: Double) {
        bytes = result.copied << UInt64(Sector.shift)
        totalBytes = sectors << UInt64(Sector.shift)
        self.seconds = seconds
        readError = result.readError
        writeErrors = (0..<destinations).map { result.writeErrors >> UInt32($0) & 1 == 1 }
        cancelled = result.isCancelled
        resumeAt = result.resumeAt
        faults = result.faults.map { CopyInterface.Fault($0) }
    }

    /// What the daemon answered.
    init(_ job: CopyInterface.Job) {
        bytes = job.copiedBytes
        totalBytes = job.totalBytes
        seconds = job.seconds
        readError = job.readError
        writeErrors = job.writeErrors
        cancelled = job.state == .cancelled
        resumeAt = job.resumeAt
        faults = job.faults
    }
}

extension CopyInterface.Fault {
    init(_ fault: CopyFault) {
        let destination: Int? = if case .destination(let index) = fault.side { index } else { nil }
        self.init(
            destination: destination, sector: fault.range.start, count: fault.range.count, errno: fault.errno,
            reason: FaultReason.describe(fault.errno))
    }
}
