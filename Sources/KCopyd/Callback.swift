import CKCopyd

/// A callback of a C program and the context it asked to be handed back.
///
/// `@unchecked Sendable`: the library never looks behind the context; it hands it to the function on
/// the client's queue, and what the two share with other threads is for the program to guard.
struct Callback: @unchecked Sendable {
    /// Which of the two kinds of function it is.
    enum Function {
        case notify(kcopyd_notify_fn)
        case result(kcopyd_result_fn)
    }

    private let function: Function
    private let context: UnsafeMutableRawPointer?

    init(_ function: Function, _ context: UnsafeMutableRawPointer?) {
        self.function = function
        self.context = context
    }

    /// The context as a number, to find a job by.
    var contextNumber: UInt { UInt(bitPattern: context) }

    /// Tells the program how a job ended.
    func call(_ outcome: JobOutcome) {
        switch function {
        case .notify(let notify):
            // The classic callback has no word for "cancelled", and must not say "copied".
            notify(outcome.readError || outcome.isCancelled ? 1 : 0, outcome.writeErrors, context)
        case .result(let notify):
            var report = kcopyd_result(
                read_err: outcome.readError ? 1 : 0,
                write_err: outcome.writeErrors,
                cancelled: outcome.isCancelled ? 1 : 0,
                error: -outcome.errno,
                copied: outcome.copied,
                resume_at: outcome.resumeAt)
            notify(&report, context)
        }
    }
}
