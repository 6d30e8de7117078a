import CKCopyd
import KCopy

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
    func call(_ result: CopyResult) {
        switch function {
        case .notify(let notify):
            // The classic callback has no word for "cancelled", and must not say "copied".
            notify(result.readError || result.isCancelled ? 1 : 0, result.writeErrors, context)
        case .result(let notify):
            var report = kcopyd_result(result)
            notify(&report, context)
        }
    }
}

extension kcopyd_result {
    init(_ result: CopyResult) {
        self.init(
            read_err: result.readError || result.isCancelled ? 1 : 0,
            write_err: result.writeErrors,
            cancelled: result.isCancelled ? 1 : 0,
            error: -(result.faults.first?.errno ?? 0),
            copied: result.copied,
            resume_at: result.resumeAt)
    }
}
