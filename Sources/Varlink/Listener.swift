import Dispatch
import Glibc
import SystemPackage
import UnixSockets

// Accepting when the process is out of descriptors. The pending connection keeps the listening socket readable, so an accept that fails
// with EMFILE would be tried again for ever. A descriptor held in reserve is closed for a moment, the connection is accepted on it and closed
// at once: the peer is told, and the backlog moves. When that fails too, accepting pauses.

/// One listening socket of a service.
///
/// `@unchecked Sendable`: every mutable stored property is used on `queue` only, or before `start()`.
final class Listener: @unchecked Sendable {
    private static let pause = DispatchTimeInterval.milliseconds(100)
    private static let acceptsPerEvent = 64

    private let descriptor: CInt
    private let file: SocketFile?
    private let service: VarlinkService
    private let queue = DispatchQueue(label: "varlink.listener")
    private var source: (any DispatchSourceRead)?
    private var reserve: CInt?
    private var isPaused = false
    private var isClosed = false

    init(descriptor: CInt, file: SocketFile?, service: VarlinkService) {
        self.descriptor = descriptor
        self.file = file
        self.service = service
    }

    func start() {
        queue.async { [self] in
            guard !isClosed else { return }
            holdReserve()
            let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
            source.setEventHandler { [self] in acceptPending() }
            source.setCancelHandler { [self] in
                SocketCalls.close(descriptor)
                service.released(self)
            }
            self.source = source
            source.activate()
        }
    }

    /// Stops accepting and removes the socket file.
    func close() {
        queue.async { [self] in
            guard !isClosed else { return }
            isClosed = true
            removeFile()
            if let reserve { SocketCalls.close(reserve) }
            reserve = nil
            if let source {
                source.cancel()
                if isPaused { source.resume() }
            } else {
                SocketCalls.close(descriptor)
                service.released(self)
            }
            source = nil
        }
    }

    /// Lets go of a listener that never started.
    func discard() {
        removeFile()
        SocketCalls.close(descriptor)
    }

    private func removeFile() {
        guard let file else { return }
        do throws(Errno) { try file.remove() } catch { service.onEvent(.cleanupFailed(path: file.path, error)) }
    }

    private func acceptPending() {
        for _ in 0..<Self.acceptsPerEvent where !isClosed && !isPaused {
            do throws(Errno) {
                service.admit(try SocketCalls.accept(descriptor))
            } catch .wouldBlock {
                return
            } catch .connectionAbort {
                continue
            } catch {
                let isShortage = error == .tooManyOpenFiles || error == .tooManyOpenFilesInSystem
                // The kernel reports a shortage before it looks whether anybody waits.
                if isShortage, shed(because: error) { continue }
                if !isShortage {
                    service.onEvent(.acceptFailed(error))
                    pauseAccepting()
                }
                return
            }
        }
    }

    /// Accepts one connection on the reserve descriptor and closes it.
    ///
    /// - Returns: whether another may wait.
    private func shed(because shortage: Errno) -> Bool {
        if let held = reserve {
            SocketCalls.close(held)
            reserve = nil
            defer { holdReserve() }
            do throws(Errno) {
                SocketCalls.close(try SocketCalls.accept(descriptor))
                service.onEvent(.acceptFailed(shortage))
                return true
            } catch .wouldBlock {
                return false
            } catch {
                // Another thread was quicker to take what was free: pause.
            }
        }
        service.onEvent(.acceptFailed(shortage))
        holdReserve()
        pauseAccepting()
        return false
    }

    private func holdReserve() {
        // Without a reserve the listener pauses instead, and tries again to get one.
        if reserve != nil { return }
        reserve = try? SocketCalls.check { Glibc.open("/dev/null", O_RDONLY | O_CLOEXEC) }
    }

    private func pauseAccepting() {
        guard !isPaused, let source = source else { return }
        isPaused = true
        source.suspend()
        queue.asyncAfter(deadline: .now() + Self.pause) { [self] in
            guard isPaused, !isClosed else { return }
            isPaused = false
            self.source?.resume()
        }
    }
}
