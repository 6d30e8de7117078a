import Glibc
package import SystemPackage

// A listening socket at a path, and the rules for putting one there:
//
//  1. Lock PATH.lock for as long as the service lives. The lock's holder alone may touch PATH. The file is removed by its
//     holder, so whoever gets the lock looks whether the file it locked is still the one at that path, and else starts
//     again.
//  2. Whoever answers at PATH is alive, lock or not: refuse. A socket where connect(2) says ECONNREFUSED has no owner:
//     unlink it. Anything that is not a socket is not ours to remove.
//  3. Bind, set owner and mode, and only then listen: until then connect(2) is refused, so no peer gets in by the wrong
//     mode.

/// A listening socket bound to a path by this process.
package struct SocketFile: Sendable {
    /// Where it is.
    package private(set) var path: FilePath
    /// The socket, which is nonblocking.
    package let descriptor: CInt
    private var lock: CInt
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

    /// Makes a socket at a path and listens on it.
    /// - Throws: `addressInUse` where a live service or something that is no socket is there; what a system call
    ///   answered. Nothing is left behind.
    package init(path: FilePath, mode: FilePermissions, group: UInt32?) throws(SocketFileError) {
        lock = try Self.acquireLock(of: path)
        self.path = path
        do throws(SocketFileError) {
            try Self.removeStale(path)
            (descriptor, identity) = try Self.bind(path, mode: mode, group: group)
        } catch {
            // The first error is the one to report; a lock file left behind does no harm.
            _ = Glibc.unlink(Self.lockPath(path).string)
            SocketCalls.close(lock)
            throw error
        }
    }

    /// Removes the socket, unless somebody has put another in its place, and gives the lock back. The descriptor is the
    /// listener's to close.
    package func remove() throws(Errno) {
        defer { SocketCalls.close(lock) }
        if let status = try Self.status(of: path), Identity(status) == identity {
            _ = try SocketCalls.check { Glibc.unlink(path.string) }
        }
        _ = try SocketCalls.check { Glibc.unlink(lockPath.string) }
    }

    /// Moves the socket to another path, where the rules are the same: nobody who is connected notices. Where it is refused
    /// the socket is where it was.
    package mutating func move(to path: FilePath) throws(SocketFileError) {
        guard path != self.path else { return }
        let newLock = try Self.acquireLock(of: path)
        do throws(SocketFileError) {
            try Self.removeStale(path)
            do throws(Errno) {
                guard let status = try Self.status(of: self.path), Identity(status) == identity else {
                    throw Errno.noSuchFileOrDirectory
                }
                // Unlike rename(2) it takes nobody's place.
                _ = try SocketCalls.check { link(self.path.string, path.string) }
            } catch {
                throw SocketFileError(self.path.string, "move to \(path)", error)
            }
        } catch {
            // The first error is the one to report; a lock file left behind does no harm.
            _ = Glibc.unlink(Self.lockPath(path).string)
            SocketCalls.close(newLock)
            throw error
        }
        // What should stay behind of the old names leads to a live service, and does no harm.
        _ = Glibc.unlink(self.path.string)
        _ = Glibc.unlink(lockPath.string)
        SocketCalls.close(lock)
        lock = newLock
        self.path = path
    }

    // MARK: Rule 1

    private static func acquireLock(of path: FilePath) throws(SocketFileError) -> CInt {
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
            throw SocketFileError(path.string, "listen", .addressInUse, reason: "another service holds \(lockPath)")
        } catch {
            throw SocketFileError(lockPath.string, "lock", error)
        }
    }

    // MARK: Rule 2

    private static func removeStale(_ path: FilePath) throws(SocketFileError) {
        let objection: String?
        do throws(Errno) {
            guard let status = try status(of: path) else { return }
            objection = try self.objection(to: status, path)
            if objection == nil { _ = try SocketCalls.check { Glibc.unlink(path.string) } }
        } catch {
            throw SocketFileError(path.string, "replace the socket left there", error)
        }
        if let objection {
            throw SocketFileError(path.string, "listen", .addressInUse, reason: objection)
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
    ) throws(SocketFileError) -> (CInt, Identity) {
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
            throw SocketFileError(path.string, operation, error)
        }
    }
}
