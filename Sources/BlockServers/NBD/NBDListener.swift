public import BlockIO
import Glibc
public import SystemPackage
import UnixSockets

/// Serves a block device to NBD clients on a Unix socket.
///
/// Belongs to a queue thread, like the device: everything is called there, and everything that it does for a client it does
/// there. The device is one export, which answers to its name and to the empty name.
public final class NBDListener {
    private static let acceptsPerEvent = 16
    /// How long nothing is accepted when the system has no descriptor or memory for one more connection.
    private static let pause: UInt64 = 100_000_000

    /// The export's name.
    public private(set) var name: String
    /// Connections that have come so far as to send requests.
    public private(set) var users = 0

    let device: any ServedDevice
    let thread: QueueThread
    let limits: NBDLimits
    private var file: SocketFile
    private var connections: [ObjectIdentifier: NBDConnection] = [:]
    private var isPolling = false
    private var isClosed = false
    private var closed: [() -> Void] = []
    /// Holds the listener until it is closed.
    private let readable = DeviceIO()

    /// Makes a socket and accepts clients from now on, until `close`. A socket that a dead server has left at the path is replaced.
    /// - Parameters:
    ///   - path: where the socket goes; its folder has to exist.
    ///   - name: the export's name, of at most 4096 bytes of UTF-8.
    ///   - mode: the socket's permissions, in force before the first client can connect.
    ///   - group: the socket's group, where it is not to be the process's own.
    /// - Throws: `addressInUse` where a live server answers at the path, or something is there that is no socket; what a
    ///   system call answered. Nothing is left behind.
    public init(
        path: FilePath, name: String, device: any ServedDevice, thread: QueueThread, limits: NBDLimits = NBDLimits(),
        mode: FilePermissions = [.ownerReadWrite, .groupReadWrite], group: UInt32? = nil
    ) throws(BlockError) {
        precondition(thread.isCurrent, "a listener belongs to \(thread.name)")
        try Self.check(name)
        self.name = name
        self.device = device
        self.thread = thread
        self.limits = limits
        do throws(SocketFileError) {
            file = try SocketFile(path: path, mode: mode, group: group)
        } catch {
            throw BlockError(error)
        }
        readable.ended = { [self] _ in becameReadable() }
        poll()
    }

    /// Connections, those included that negotiate.
    public var connectionCount: Int { connections.count }
    /// Where the socket is.
    public var path: FilePath { file.path }

    private static func check(_ name: String) throws(BlockError) {
        guard name.utf8.count <= NBDSize.string, !name.utf8.contains(0) else {
            throw BlockError(
                "export", "name", .invalidArgument,
                reason: "a name of \(name.utf8.count) bytes: at most \(NBDSize.string), none of them zero, are possible"
            )
        }
    }

    /// Gives the export another name, and its socket another path. Clients that are connected notice nothing.
    /// - Throws: as `init`; everything is as it was then.
    public func rename(path: FilePath, name: String) throws(BlockError) {
        try Self.check(name)
        do throws(SocketFileError) { try file.move(to: path) } catch { throw BlockError(error) }
        self.name = name
    }

    /// Removes the socket, answers what is under way, refuses what comes meanwhile (ESHUTDOWN), and ends the connections.
    /// - Parameter done: called when the last connection has ended. That waits for every request that the device has.
    public func close(_ done: @escaping () -> Void) {
        closed.append(done)
        guard !isClosed else { return closeIfDone() }
        isClosed = true
        // A socket that cannot be removed has nobody who listens any more, and is replaced by the next server.
        do throws(Errno) { try file.remove() } catch {}
        SocketCalls.shutdown(file.descriptor)
        if !isPolling { SocketCalls.close(file.descriptor) }
        for connection in connections.values { connection.close() }
        thread.after(nanoseconds: limits.farewell) { [weak self] in
            for connection in self.map({ Array($0.connections.values) }) ?? [] { connection.die() }
        }
        closeIfDone()
    }

    private func closeIfDone() {
        guard isClosed, !isPolling, connections.isEmpty else { return }
        readable.ended = { _ in }
        let tell = closed
        closed = []
        for done in tell { done() }
    }

    // MARK: Accepting

    private func poll() {
        isPolling = true
        thread.poll(.pollIn, FileDescriptor(rawValue: file.descriptor), readable)
    }

    private func becameReadable() {
        isPolling = false
        guard !isClosed else {
            SocketCalls.close(file.descriptor)
            return closeIfDone()
        }
        for _ in 0..<Self.acceptsPerEvent {
            do throws(Errno) {
                admit(try SocketCalls.accept(file.descriptor))
            } catch .wouldBlock {
                break
            } catch .connectionAbort {
                continue
            } catch {
                return pauseAccepting()
            }
        }
        poll()
    }

    private func pauseAccepting() {
        thread.after(nanoseconds: Self.pause) { [weak self] in
            guard let self, !isClosed else { return }
            poll()
        }
    }

    private func admit(_ descriptor: Int32) {
        guard connections.count < limits.connections else { return SocketCalls.close(descriptor) }
        let export = NBDExport(name: name, device: device)
        let connection = NBDConnection(descriptor: descriptor, listener: self, export: export)
        connections[ObjectIdentifier(connection)] = connection
        connection.start()
    }

    // MARK: For connections

    func transmissionBegan() {
        users += 1
        device.opened()
    }

    func connectionEnded(_ connection: NBDConnection, hasTransmitted: Bool) {
        connections[ObjectIdentifier(connection)] = nil
        if hasTransmitted {
            users -= 1
            device.closed()
        }
        closeIfDone()
    }
}

extension BlockError {
    init(_ error: SocketFileError) {
        self.init(error.object, error.operation, error.errno, reason: error.reason)
    }
}
