import BlockIO
import ControlAPI
import Dispatch
import Glibc
import KCopy
public import Logging
public import ServiceLifecycle
import Synchronization
import SystemPackage
import UnixSignals
import Varlink

/// The daemon as one service: sockets, copy service, what systemd is told, the end.
public final class CopyDaemon: Service {
    private let configuration: DaemonConfiguration
    private let logger: Logger

    /// A daemon that does nothing before `run()`.
    public init(_ configuration: DaemonConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// Serves until SIGTERM or SIGINT; a second one cancels jobs that were to finish.
    /// - Throws: as `run()`.
    public func runUntilSignalled() async throws {
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [.init(service: self, successTerminationBehavior: .gracefullyShutdownGroup)],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        try await group.run()
    }

    /// Serves until a graceful shutdown is asked for, then stops by the policy.
    /// - Throws: `DaemonError` where it cannot start (another daemon is there, the engine is forbidden), or where cancelled
    ///   jobs do not end.
    public func run() async throws {
        let service = try startLanes()
        let rooms = try startRooms(service)
        let control = CopyControl(service: service, limits: configuration.limits, logger: logger)
        let targets = TargetControl(rooms: rooms, folder: configuration.exports, logger: logger)
        let (varlink, socket) = try serve([try control.makeInterface(), try targets.makeInterface()])
        let watchdog = ServiceManager.watchdogInterval.map { Watchdog(control, targets, interval: $0) }
        ServiceManager.ready(status: "engine \(service.engineName), \(socket)")
        logger.notice("ready", metadata: ["socket": "\(socket)"])

        // gracefulShutdown() throws where the task is cancelled instead; both mean the end.
        try? await gracefulShutdown()

        ServiceManager.stopping()
        async let areDevicesGone = stop(targets)
        let hanging = await stop(control)
        let hasStoppedServing = await areDevicesGone
        await close(varlink)
        withExtendedLifetime(watchdog) {}
        guard hanging == 0 else {
            throw DaemonError("\(hanging) clients", "stop", "I/O of their cancelled jobs does not end")
        }
        guard hasStoppedServing else {
            throw DaemonError("mapped devices", "remove", "their I/O does not end")
        }
        rooms.stop()
        service.shutdown()
        logger.notice("stopped")
    }

    private func startLanes() throws(DaemonError) -> CopyService {
        do throws(BlockError) {
            let service = try CopyService(engine: configuration.engine, lanes: configuration.lanes)
            let why =
                service.ringRefusal.map { "\($0)" }
                ?? (configuration.engine == .auto ? "the kernel allows io_uring" : "it was asked for")
            logger.notice("engine chosen", metadata: ["engine": "\(service.engineName)", "reason": "\(why)"])
            return service
        } catch {
            throw DaemonError("engine \(configuration.engine.rawValue)", "start", "\(error)")
        }
    }

    private func startRooms(_ service: CopyService) throws(DaemonError) -> QueueRooms {
        do throws(BlockError) {
            return try QueueRooms(engine: configuration.engine, service: service, group: Self.group)
        } catch {
            throw DaemonError("engine \(configuration.engine.rawValue)", "start a queue thread", "\(error)")
        }
    }

    // MARK: Sockets

    /// The group of sockets. Machines without it leave them to the daemon's own.
    private static var group: UInt32? { getgrnam("disk").map { $0.pointee.gr_gid } }

    /// Listens. Answers what on, in words as well.
    private func serve(_ interfaces: [VarlinkInterface]) throws -> (VarlinkService, socket: String) {
        let logger = logger
        let varlink = VarlinkService(
            info: VarlinkServiceInfo(
                vendor: "ucopyd", product: "ucopyd", version: Release.version,
                url: ""),
            interfaces: interfaces,
            onEvent: EventLog(logger).note)
        do {
            let sockets = try ServiceManager.takeSockets()
            try makeDirectory(configuration.runtimeDirectory)
            try makeDirectory(configuration.exports)
            for socket in sockets { try varlink.listen(descriptor: socket) }
            guard sockets.isEmpty else { return (varlink, "passed by the service manager") }
            try listen(varlink)
        } catch let error as VarlinkConnectionError where error.code == .addressInUse {
            throw DaemonError(
                configuration.runtimeDirectory.string, "start", "another daemon uses this runtime directory: \(error)")
        } catch let error as VarlinkConnectionError {
            throw DaemonError(error.object, error.operation, error.errno.map { "\($0)" } ?? error.reason ?? "failed")
        }
        return (varlink, configuration.socket.string)
    }

    private func listen(_ varlink: VarlinkService) throws {
        let group = Self.group
        let mode: FilePermissions = [.ownerReadWrite, .groupReadWrite]
        do throws(VarlinkConnectionError) {
            try varlink.listen(path: configuration.socket, mode: mode, group: group)
        } catch {
            // A daemon that is not root may not give files away; its own group has to do.
            guard error.errno == .notPermitted, group != nil else { throw error }
            try varlink.listen(path: configuration.socket, mode: mode)
        }
    }

    /// Makes a folder that everybody may look into, unless it is there; what is in it has rights of its own.
    private func makeDirectory(_ path: FilePath) throws(DaemonError) {
        if mkdir(path.string, 0o755) != 0 {
            guard errno != EEXIST else { return }
            throw DaemonError(path.string, "make a directory", "\(Errno(rawValue: errno))")
        }
        // The mask may have taken rights away.
        guard chmod(path.string, 0o755) == 0 else {
            throw DaemonError(path.string, "set the mode", "\(Errno(rawValue: errno))")
        }
    }

    // MARK: The end

    private func stop(_ control: CopyControl) async -> Int {
        let second = SecondSignal { [logger] in
            logger.notice("asked to stop again: cancelling the jobs")
            control.cancelEverything()
        }
        defer { second.cancel() }
        return await withCheckedContinuation { continuation in
            control.stop(configuration.stopPolicy, timeout: configuration.stopTimeout) { hanging in
                continuation.resume(returning: hanging)
            }
        }
    }

    /// Removes the mapped devices; false where that takes longer than their I/O may take to end.
    private func stop(_ targets: TargetControl) async -> Bool {
        await withCheckedContinuation { continuation in
            let isAnswered = Atomic<Bool>(false)
            let answer: @Sendable (Bool) -> Void = { isDone in
                if !isAnswered.exchange(true, ordering: .relaxed) { continuation.resume(returning: isDone) }
            }
            Task {
                await targets.stop()
                answer(true)
            }
            targets.board.queue.asyncAfter(deadline: .now() + CopyControl.cancelTimeout) { answer(false) }
        }
    }

    private func close(_ varlink: VarlinkService) async {
        await withCheckedContinuation { continuation in
            varlink.shutdown { continuation.resume() }
        }
    }
}

/// Runs an action when SIGTERM or SIGINT comes once more.
private struct SecondSignal {
    private let sources: [any DispatchSourceSignal]

    init(_ action: @escaping @Sendable () -> Void) {
        sources = [SIGTERM, SIGINT].map { number in
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler(handler: action)
            source.activate()
            return source
        }
    }

    func cancel() { sources.forEach { $0.cancel() } }
}
