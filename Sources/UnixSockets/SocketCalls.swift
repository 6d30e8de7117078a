import CLinux
import Glibc
package import SystemPackage

/// The system calls on Unix sockets that everybody who listens or connects needs.
///
/// Plain numbers go in and out. Who owns a descriptor is said by the type that holds it: the listener, the server's
/// connection, the client's.
package enum SocketCalls {
    /// Runs a call that returns -1 and sets `errno`, again when a signal interrupted it.
    package static func check(_ call: () -> CInt) throws(Errno) -> CInt {
        while true {
            let result = call()
            if result >= 0 { return result }
            if errno != EINTR { throw Errno(rawValue: errno) }
        }
    }

    /// The same for a call that counts bytes.
    package static func checkCount(_ call: () -> Int) throws(Errno) -> Int {
        while true {
            let result = call()
            if result >= 0 { return result }
            if errno != EINTR { throw Errno(rawValue: errno) }
        }
    }

    package static func close(_ descriptor: CInt) {
        // The descriptor is gone whatever close(2) says, and a socket or a read-only file has no data to lose by it.
        _ = Glibc.close(descriptor)
    }

    package static func shutdown(_ descriptor: CInt) {
        // It can only fail with ENOTCONN: the peer was quicker, and the outcome is the same.
        _ = Glibc.shutdown(descriptor, CInt(SHUT_RDWR))
    }

    package static func makeSocket(nonblocking: Bool) throws(Errno) -> CInt {
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        return try check { socket(AF_UNIX, nonblocking ? type | CInt(SOCK_NONBLOCK.rawValue) : type, 0) }
    }

    package static func connect(_ descriptor: CInt, to path: FilePath) throws(Errno) {
        _ = try withAddress(of: path) { address, length in Glibc.connect(descriptor, address, length) }
    }

    package static func bind(_ descriptor: CInt, to path: FilePath) throws(Errno) {
        _ = try withAddress(of: path) { address, length in Glibc.bind(descriptor, address, length) }
    }

    package static func setNonblocking(_ descriptor: CInt) throws(Errno) {
        let flags = try check { fcntl(descriptor, F_GETFL) }
        _ = try check { fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) }
        _ = try check { fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    }

    package static func accept(_ listener: CInt) throws(Errno) -> CInt {
        try check { clinux_accept(listener) }
    }

    private static func withAddress(
        of path: FilePath, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
    ) throws(Errno) -> CInt {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let text = Array(path.string.utf8)
        // One byte stays zero: the path's end.
        guard text.count < MemoryLayout.size(ofValue: address.sun_path) else { throw .fileNameTooLong }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: text) }
        return try check {
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        }
    }
}
