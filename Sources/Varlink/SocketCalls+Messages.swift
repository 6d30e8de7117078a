import CLinux
import Glibc
import SystemPackage
import UnixSockets

/// What a connection of this protocol asks of its socket beyond what every socket is asked.
extension SocketCalls {
    /// What one receive brought.
    enum Received {
        case bytes(Int)
        case ended
        case wouldBlock
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
}
