import CLinux
import Glibc
import SystemPackage

/// The system calls on sockets: the one place of this module that reads `errno`.
///
/// Plain numbers go in and out. Who owns a descriptor is said by the type that holds it: the listener, the server's connection, the client's.
enum SocketCalls {
    /// What one receive brought.
    enum Received {
        case bytes(Int)
        case ended
        case wouldBlock
    }

    /// Runs a call that returns -1 and sets `errno`, again when a signal interrupted it.
    static func check(_ call: () -> CInt) throws(Errno) -> CInt {
        while true {
            let result = call()
            if result >= 0 { return result }
            if errno != EINTR { throw Errno(rawValue: errno) }
        }
    }

    private static func checkCount(_ call: () -> Int) throws(Errno) -> Int {
        while true {
            let result = call()
            if result >= 0 { return result }
            if errno != EINTR { throw Errno(rawValue: errno) }
        }
    }

    static func close(_ descriptor: CInt) {
        // The descriptor is gone whatever close(2) says, and a socket or a read-only file has no data to lose by it.
        _ = Glibc.close(descriptor)
    }

    static func shutdown(_ descriptor: CInt) {
        // It can only fail with ENOTCONN: the peer was quicker, and the outcome is the same.
        _ = Glibc.shutdown(descriptor, CInt(SHUT_RDWR))
    }

    static func makeSocket(nonblocking: Bool) throws(Errno) -> CInt {
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        return try check { socket(AF_UNIX, nonblocking ? type | CInt(SOCK_NONBLOCK.rawValue) : type, 0) }
    }

    static func connect(_ descriptor: CInt, to path: FilePath) throws(Errno) {
        _ = try withAddress(of: path) { address, length in Glibc.connect(descriptor, address, length) }
    }

    static func bind(_ descriptor: CInt, to path: FilePath) throws(Errno) {
        _ = try withAddress(of: path) { address, length in Glibc.bind(descriptor, address, length) }
    }

    static func setNonblocking(_ descriptor: CInt) throws(Errno) {
        let flags = try check { fcntl(descriptor, F_GETFL) }
        _ = try check { fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) }
        _ = try check { fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    }

    static func accept(_ listener: CInt) throws(Errno) -> CInt {
        try check { clinux_accept(listener) }
    }

    static func peer(of descriptor: CInt) throws(Errno) -> PeerCredentials {
        var process: pid_t = 0
        var user: uid_t = 0
        var group: gid_t = 0
        _ = try check { clinux_peer_credentials(descriptor, &process, &user, &group) }
        return PeerCredentials(processID: process, userID: user, groupID: group)
    }

    /// Whether the peer has closed its end altogether, rather than only ended what it sends.
    static func isHungUp(_ descriptor: CInt) -> Bool {
        var poll = pollfd(fd: descriptor, events: 0, revents: 0)
        // A failing poll leaves `revents` zero: the next send will tell.
        _ = Glibc.poll(&poll, 1, 0)
        return poll.revents & Int16(POLLHUP | POLLERR) != 0
    }

    /// Receives into `buffer`, handing over the descriptors that came with the bytes.
    ///
    /// - Returns: what came, the descriptors (the caller's to close), and whether some were lost.
    static func receive(
        _ descriptor: CInt, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> (received: Received, descriptors: [CInt], truncated: Bool) {
        var ancillary = clinux_received()
        let count: Int
        do throws(Errno) {
            count = try checkCount { clinux_receive(descriptor, buffer.baseAddress, buffer.count, 0, &ancillary) }
        } catch .wouldBlock {
            return (.wouldBlock, [], false)
        }
        let descriptors = withUnsafeBytes(of: ancillary.descriptors) {
            Array($0.bindMemory(to: CInt.self).prefix(Int(ancillary.count)))
        }
        return (count == 0 ? .ended : .bytes(count), descriptors, ancillary.truncated != 0)
    }

    /// Sends a part of `bytes` with `descriptors` on its first byte; nil when the socket is full.
    static func send(_ descriptor: CInt, _ bytes: ArraySlice<UInt8>, descriptors: [CInt] = []) throws(Errno) -> Int? {
        do throws(Errno) {
            return try checkCount {
                bytes.withUnsafeBytes { buffer in
                    clinux_send(
                        descriptor, buffer.baseAddress, buffer.count, descriptors, CUnsignedInt(descriptors.count))
                }
            }
        } catch .wouldBlock {
            return nil
        }
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
