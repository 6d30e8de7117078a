import CKCopyd
import Glibc

/// A copy of the header's text that lives as long as the process; never written to nor freed, which
/// is what makes sharing it between threads safe.
nonisolated(unsafe) private let version = UnsafePointer(strdup(KCOPYD_VERSION))

@c @implementation
public func kcopyd_version() -> UnsafePointer<CChar>? { version }
