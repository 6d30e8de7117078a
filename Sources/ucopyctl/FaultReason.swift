import Glibc
import SystemPackage

/// Error numbers of jobs in words.
enum FaultReason {
    /// The system's words, but for the number with which verification tells of a difference.
    static func describe(_ number: Int32) -> String {
        isDifference(number) ? "what was read back differs from what was written" : Errno(rawValue: number).description
    }

    /// Whether a destination was written but holds something else.
    static func isDifference(_ number: Int32) -> Bool { number == EILSEQ }
}
