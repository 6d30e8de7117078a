import BlockIO
import Glibc
import KCopy
import SystemPackage

/// What a C call answers when it starts nothing: an error number.
struct CallError: Error {
    /// The error number, positive.
    var errno: Errno

    init(_ errno: Errno) { self.errno = errno }
    init(_ error: BlockError) { self.init(error.errno) }

    init(_ error: CopyError) {
        switch error.code {
        // The library's own number for this rule, so that it can be told from a handle that is not open.
        case .accessDenied: self.init(.notPermitted)
        // An argument is wrong, whatever resource's number says how.
        case .invalidArgument, .countMismatch, .unaligned, .outOfRange, .overlap: self.init(.invalidArgument)
        case .closed: self.init(.badFileDescriptor)
        case .noResources: self.init(error.errno)
        }
    }

    /// What the C function returns: always negative, for 0 says success.
    var status: Int32 { errno.rawValue > 0 ? -errno.rawValue : -EIO }
}

/// Runs the body of a C call; every call that returns an int goes through here.
func answer(_ body: () throws(CallError) -> Void) -> Int32 {
    do {
        try Process.requireOriginal()
        try body()
        return 0
    } catch {
        return error.status
    }
}

/// An argument that must not be null.
func required<T>(_ argument: T?) throws(CallError) -> T {
    guard let argument else { throw CallError(.invalidArgument) }
    return argument
}
