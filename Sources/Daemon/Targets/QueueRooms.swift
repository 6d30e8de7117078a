import BlockIO
import Glibc
import KCopy
import Synchronization
import Targets

/// A queue thread with all that its devices share.
///
/// `@unchecked Sendable`: `host` is used on the thread only.
final class QueueRoom: @unchecked Sendable {
    let thread: QueueThread
    let host: TargetHost
    let loader: TableLoader
    let pool: DevicePool
    /// The group of the sockets, where it is not the process's own.
    let group: UInt32?

    init(
        name: String, engine: EngineChoice, service: CopyService, registry: TargetRegistry, pool: DevicePool,
        group: UInt32?
    ) throws(BlockError) {
        thread = try QueueThread(name: name, engine: engine)
        host = TargetHost(thread: thread, service: service)
        loader = TableLoader(registry: registry, pool: pool, host: ThreadBound(host, to: thread))
        self.pool = pool
        self.group = group
    }
}

/// The queue threads that mapped devices are served on.
///
/// There is one at present, which makes every origin and its snapshots share one as they have to.
final class QueueRooms: Sendable {
    /// The types of targets that tables can have.
    let registry: TargetRegistry
    private let rooms: [QueueRoom]

    /// - Throws: what io_uring_setup(2) answered where it is asked for, or that no thread can be had.
    init(engine: EngineChoice, service: CopyService, group: UInt32?) throws(BlockError) {
        registry = TargetRegistry.all
        rooms = [
            try QueueRoom(
                name: "ucopyd-queue", engine: engine, service: service, registry: registry, pool: DevicePool(),
                group: group)
        ]
    }

    /// The one for a new device.
    func room() -> QueueRoom { rooms[0] }

    /// What does the I/O of targets: "uring" or "blocking".
    var engineName: String { rooms[0].thread.engineName }

    /// Calls back when every thread has answered.
    func ping(_ answer: @escaping @Sendable () -> Void) {
        let left = Mutex(rooms.count)
        for room in rooms {
            room.thread.post {
                let isLast = left.withLock { left in
                    left -= 1
                    return left == 0
                }
                if isLast { answer() }
            }
        }
    }

    /// Ends the threads. No device may be left.
    func stop() {
        for room in rooms { room.thread.stop() }
    }
}
