import CLinux
import Glibc
import SystemPackage

// A listening socket at a path, and the rules for putting one there:
//
//  1. Lock PATH.lock for as long as the service lives. The lock's holder alone may touch PATH. The file is removed by its holder, so
//     whoever gets the lock looks whether the file it locked is still the one at that path, and else starts again.
//  2. Whoever answers at PATH is alive, lock or not: refuse. A socket where connect(2) says ECONNREFUSED has no owner: unlink it.
//     Anything that is not a socket is not ours to remove.
//  3. Bind, set owner and mode, and only then listen: until then connect(2) is refused, so no peer gets in by the wrong mode.

/// A listening socket bound to a path by this process.
struct SocketFile: Sendable {
    let path: FilePath
    let descriptor: CInt
    private let lock: CInt
    private let identity: Identity

    private struct Identity: Equatable {
        var device: dev_t
        var inode: ino_t

        init(_ status: stat) {
            device = status.st_dev
            inode = status.st_ino
        }
    }

    private var lockPath: FilePath { Self.lockPath(path) }

    private static func lockPath(_ path: FilePath) -> FilePath { FilePath("\(path.string).lock") }

    init(path: FilePath, mode: FilePermissions, group: UInt32?) throws(VarlinkConnectionError) {
        lock = try Self.acquireLock(of: path)
        self.path = path
        do throws(VarlinkConnectionError) {
            try Self.removeStale(path)
            (descriptor, identity) = try Self.bind(path, mode: mode, group: group)
        } catch {
            // The first error is the one to report; a lock file left behind does no harm.
            _ = Glibc.unlink(Self.lockPath(path).string)
            SocketCalls.close(lock)
            throw error
        }
    }

    /// Removes the socket, unless somebody has put another in its place, and gives the lock back. The descriptor is the listener's to close.
    func remove() throws(Errno) {
        defer { SocketCalls.close(lock) }
        if let status = try Self.status(of: path), Identity(status) == identity {
            _ = try SocketCalls.check { Glibc.unlink(path.string) }
        }
        _ = try SocketCalls.check { Glibc.unlink(lockPath.string) }
    }

    // MARK: Rule 1

    private static func acquireLock(of path: FilePath) throws(VarlinkConnectionError) -> CInt {
        let lockPath = lockPath(path)
        do throws(Errno) {
            while true {
                let lock = try SocketCalls.check {
                    Glibc.open(lockPath.string, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
                }
                var isCurrent = false
                do throws(Errno) {
                    _ = try SocketCalls.check { flock(lock, LOCK_EX | LOCK_NB) }
                    var locked = stat()
                    _ = try SocketCalls.check { fstat(lock, &locked) }
                    isCurrent = try status(of: lockPath).map(Identity.init) == Identity(locked)
                } catch {
                    SocketCalls.close(lock)
                    throw error
                }
                if isCurrent { return lock }
                SocketCalls.close(lock)
            }
        } catch .wouldBlock {
            throw VarlinkConnectionError(
                .addressInUse, object: path.string, operation: "listen", reason: "another service holds \(lockPath)")
        } catch {
            throw VarlinkConnectionError(.system, object: lockPath.string, operation: "lock", errno: error)
        }
    }

    // MARK: Rule 2

    private static func removeStale(_ path: FilePath) throws(VarlinkConnectionError) {
        let objection: String?
        do throws(Errno) {
            guard let status = try status(of: path) else { return }
            objection = try self.objection(to: status, path)
            if objection == nil { _ = try SocketCalls.check { Glibc.unlink(path.string) } }
        } catch {
            throw VarlinkConnectionError(
                .system, object: path.string, operation: "replace the socket left there", errno: error)
        }
        if let objection {
            throw VarlinkConnectionError(.addressInUse, object: path.string, operation: "listen", reason: objection)
        }
    }

    /// Why what lies at `path` must stay; nil when it is a socket without an owner.
    private static func objection(to status: stat, _ path: FilePath) throws(Errno) -> String? {
        guard status.st_mode & S_IFMT == S_IFSOCK else { return "exists and is not a socket" }
        return try isAlive(path) ? "another service answers there" : nil
    }

    private static func isAlive(_ path: FilePath) throws(Errno) -> Bool {
        let probe = try SocketCalls.makeSocket(nonblocking: true)
        defer { SocketCalls.close(probe) }
        do throws(Errno) {
            try SocketCalls.connect(probe, to: path)
            return true
        } catch .connectionRefused {
            return false
        } catch .wouldBlock {
            // Its backlog is full: busy, not dead.
            return true
        }
    }

    private static func status(of path: FilePath) throws(Errno) -> stat? {
        var status = stat()
        do throws(Errno) {
            _ = try SocketCalls.check { lstat(path.string, &status) }
            return status
        } catch .noSuchFileOrDirectory {
            return nil
        }
    }

    // MARK: Rule 3

    private static func bind(
        _ path: FilePath, mode: FilePermissions, group: UInt32?
    ) throws(VarlinkConnectionError) -> (CInt, Identity) {
        var operation = "make a socket"
        do throws(Errno) {
            let descriptor = try SocketCalls.makeSocket(nonblocking: true)
            var isBound = false
            do throws(Errno) {
                operation = "bind a socket"
                try SocketCalls.bind(descriptor, to: path)
                isBound = true
                operation = "set owner and mode"
                if let group { _ = try SocketCalls.check { chown(path.string, uid_t.max, group) } }
                _ = try SocketCalls.check { chmod(path.string, mode.rawValue) }
                guard let status = try status(of: path) else { throw Errno.noSuchFileOrDirectory }
                operation = "listen"
                _ = try SocketCalls.check { Glibc.listen(descriptor, SOMAXCONN) }
                return (descriptor, Identity(status))
            } catch {
                SocketCalls.close(descriptor)
                // The first error is the one to report, and a dead socket file is replaced by the next start.
                if isBound { _ = Glibc.unlink(path.string) }
                throw error
            }
        } catch {
            throw VarlinkConnectionError(.system, object: path.string, operation: operation, errno: error)
        }
    }
}
