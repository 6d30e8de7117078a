import BlockIO
import BlockServers
import ControlAPI
import Glibc
import SystemPackage
import Targets

/// A mapped device with its export, as the control plane sees it: everything is done on the device's queue thread, and
/// awaited here.
///
/// `@unchecked Sendable`: everything but the constants is used on the queue thread only.
final class HostedDevice: @unchecked Sendable {
    typealias Failure = TargetInterface.Failure

    /// The device's number in the table of devices.
    let number: Int
    private let room: QueueRoom
    private let mapped: MappedDevice
    private let board: EventBoard
    /// What the creator asked for: a table that is loaded later is made alike unless its loader wants something else.
    private let options: TargetOptions
    private var export: NBDListener?
    private var isExportClosing = false
    private var isRemoving = false
    /// Whether the device has told that it is no more; `isRemoved` comes before its targets have ended.
    private var hasEnded = false
    private var socket: FilePath
    /// Called when device and export are no more, however it came to that.
    private var whenGone: [() -> Void] = []

    /// On the queue thread. It stays as long as the device is there.
    private init(
        _ number: Int, _ mapped: MappedDevice, _ options: TargetOptions, socket: FilePath, _ room: QueueRoom,
        _ board: EventBoard, gone: @escaping @Sendable () -> Void
    ) {
        self.number = number
        self.mapped = mapped
        self.options = options
        self.socket = socket
        self.room = room
        self.board = board
        let observer = mapped.observe { [self] in happened($0) }
        whenGone = [{ mapped.ignore(observer) }, gone]
    }

    // MARK: Crossing over

    private static func on<Value: Sendable>(
        _ room: QueueRoom, _ work: @escaping @Sendable (_ done: @escaping (Value) -> Void) -> Void
    ) async -> Value {
        await withCheckedContinuation { continuation in
            room.thread.post { work { continuation.resume(returning: $0) } }
        }
    }

    private func ask<Value: Sendable>(_ question: @escaping @Sendable (HostedDevice) -> Value?) async -> Value? {
        await Self.on(room) { [self] done in done(mapped.isRemoved ? nil : question(self)) }
    }

    private func operate(
        _ operation: @escaping @Sendable (HostedDevice, @escaping MappedDevice.Completion) -> Void
    ) async throws(TargetError) {
        let result: Result<Void, TargetError> = await Self.on(room) { [self] done in operation(self, done) }
        try result.get()
    }

    /// The same, and then waits until the devices that nobody needs any more are closed: whoever is told that a table is
    /// gone can use what it used.
    private func perform(
        _ operation: @escaping @Sendable (HostedDevice, @escaping MappedDevice.Completion) -> Void
    ) async throws(Failure) {
        do throws(TargetError) { try await operate(operation) } catch { throw Failure(error) }
        await room.pool.settle()
    }

    // MARK: Making

    /// Makes a device with its table and its export, or nothing.
    /// - Parameter gone: called when the device is no more, on the queue thread.
    static func make(
        _ number: Int, _ parameters: TargetInterface.Create.Parameters, socket: FilePath, _ room: QueueRoom,
        _ board: EventBoard, gone: @escaping @Sendable () -> Void
    ) async throws(Failure) -> HostedDevice {
        var options = TargetOptions()
        options.pages = parameters.pages
        options.overflow = parameters.overflow.map(OverflowPolicy.init)
        options.isReadOnly = parameters.readOnly == true
        let wishes = options
        let made: Result<HostedDevice, TargetError> = await on(room) { done in
            done(
                Result { () throws(TargetError) in
                    let mapped = try MappedDevice(
                        name: parameters.name, uuid: parameters.uuid ?? "", isReadOnly: wishes.isReadOnly,
                        host: room.host)
                    return HostedDevice(number, mapped, wishes, socket: socket, room, board, gone: gone)
                })
        }
        let device: HostedDevice
        do throws(TargetError) { device = try made.get() } catch { throw Failure(error) }
        do throws(Failure) {
            if let table = parameters.table {
                try await device.load(table, wishes)
                try await device.perform { device, done in device.mapped.resume(done) }
            }
            try await device.publish()
        } catch {
            await device.abandon()
            throw error
        }
        return device
    }

    private func publish() async throws(Failure) {
        try await perform { device, done in
            do throws(BlockError) {
                do throws(BlockError) {
                    device.export = try device.listen(group: device.room.group)
                } catch  where error.errno == .notPermitted && device.room.group != nil {
                    // A daemon that may not give files away: its own group has to do.
                    device.export = try device.listen(group: nil)
                }
                done(.success(()))
            } catch {
                done(.failure(TargetError(error)))
            }
        }
    }

    private func listen(group: UInt32?) throws(BlockError) -> NBDListener {
        try NBDListener(path: socket, name: mapped.name, device: mapped, thread: room.thread, group: group)
    }

    /// Ends a device that nobody has seen.
    private func abandon() async {
        let _: Void = await Self.on(room) { [self] done in
            whenGone.append { done(()) }
            // Nobody uses it: nothing can refuse.
            mapped.remove { _ in }
        }
        await room.pool.settle()
    }

    // MARK: Removing

    /// Closes the export and removes the device, unless it is in use and not forced.
    /// - Returns: nil when it is gone; else how many clients use it.
    func remove(force: Bool) async -> Int? {
        let clients: Int? = await Self.on(room) { [self] done in
            guard !hasEnded || export != nil else { return done(nil) }
            guard force || mapped.openCount == 0 else { return done(mapped.openCount) }
            whenGone.append { done(nil) }
            isRemoving = true
            close()
            // Where it is used what is under way fails, and it goes when the last connection has ended.
            let isUsed = mapped.openCount > 0
            mapped.remove(force: isUsed, deferred: isUsed) { _ in }
        }
        await room.pool.settle()
        return clients
    }

    /// Has the device removed when its last client has gone; at once where nobody uses it.
    func deferRemoval() async throws(Failure) {
        try await perform { device, done in device.mapped.remove(deferred: true, done) }
    }

    /// Suspends a device that is going to be removed. One that cannot be suspended has gone already.
    func quiesce() async {
        let _: Void = await Self.on(room) { [self] done in
            isRemoving = true
            mapped.suspend { _ in done(()) }
        }
    }

    /// Ends the connections of clients, without waiting.
    func closeExport() {
        room.thread.post { [self] in close() }
    }

    private func close() {
        guard let export, !isExportClosing else { return }
        isExportClosing = true
        export.close { [self] in
            self.export = nil
            tellIfGone()
        }
    }

    private func tellIfGone() {
        guard hasEnded, export == nil else { return }
        let tell = whenGone
        whenGone = []
        for gone in tell { gone() }
    }
}

// MARK: - Changing

extension HostedDevice {
    /// Makes a table and puts it into the inactive slot.
    func load(_ parameters: TargetInterface.Load.Parameters) async throws(Failure) {
        var options = options
        if let pages = parameters.pages { options.pages = pages }
        if let overflow = parameters.overflow { options.overflow = OverflowPolicy(overflow) }
        if let isReadOnly = parameters.readOnly { options.isReadOnly = isReadOnly }
        try await load(parameters.table, options)
    }

    fileprivate func load(_ text: String, _ options: TargetOptions) async throws(Failure) {
        do throws(TargetError) {
            let table = try await room.loader.load(text, options: options)
            try await operate { device, done in device.mapped.load(table.value, done) }
        } catch {
            // What was opened for a table that is refused is closed before anybody is told.
            await room.pool.settle()
            throw Failure(error)
        }
        await room.pool.settle()
    }

    func suspend(noFlush: Bool) async throws(Failure) {
        try await perform { device, done in device.mapped.suspend(noflush: noFlush, done) }
    }

    func resume(noFlush: Bool) async throws(Failure) {
        try await perform { device, done in device.mapped.resume(noflush: noFlush, done) }
    }

    func clear() async throws(Failure) {
        try await perform { device, done in device.mapped.clear(done) }
    }

    /// Gives it another name, and its export another socket.
    func rename(_ name: String, socket path: FilePath) async throws(Failure) {
        try await perform { device, done in
            done(
                Result { () throws(TargetError) in
                    do throws(BlockError) { try device.export?.rename(path: path, name: name) } catch {
                        throw TargetError(error)
                    }
                    device.socket = path
                    try device.mapped.rename(to: name)
                })
        }
    }

    /// Gives it the uuid that it has not got.
    func identify(_ uuid: String) async throws(Failure) {
        try await perform { device, done in
            done(Result { () throws(TargetError) in try device.mapped.setUUID(uuid) })
        }
    }

    func message(sector: UInt64, text: String) async throws(Failure) -> String {
        let result: Result<String, TargetError> = await Self.on(room) { [self] done in
            let words = text.split(whereSeparator: \.isWhitespace).map(String.init)
            done(Result { () throws(TargetError) in try mapped.message(sector: sector, words) })
        }
        do throws(TargetError) { return try result.get() } catch { throw Failure(error) }
    }
}

// MARK: - Looking

extension HostedDevice {
    func info() async -> TargetInterface.Device? {
        await ask { device in
            TargetInterface.Device(device.mapped.info, socket: device.socket)
        }
    }

    func status(inactive: Bool) async -> TargetInterface.DeviceStatus? {
        await ask { device in
            TargetInterface.DeviceStatus(
                name: device.mapped.name, uuid: device.uuid,
                lines: device.mapped.status(inactive ? .inactive : .live).map { line in
                    TargetInterface.StatusLine(
                        start: line.range.start, length: line.range.count, target: line.type, text: line.text,
                        details: [String: TargetInterface.Detail](line.details))
                })
        }
    }

    func table(inactive: Bool) async -> TargetInterface.DeviceTable? {
        await ask { device in
            TargetInterface.DeviceTable(
                name: device.mapped.name, uuid: device.uuid,
                lines: device.mapped.table(inactive ? .inactive : .live).map { line in
                    TargetInterface.TableLine(
                        start: line.range.start, length: line.range.count, target: line.type, text: line.text)
                })
        }
    }

    func dependencies() async -> TargetInterface.DeviceDependencies? {
        await ask { device in
            TargetInterface.DeviceDependencies(
                name: device.mapped.name, uuid: device.uuid, devices: device.mapped.dependencies())
        }
    }

    private var uuid: String? { mapped.uuid.isEmpty ? nil : mapped.uuid }

    // MARK: What happens

    /// On the queue thread.
    fileprivate func happened(_ event: MappedDeviceEvent) {
        let count = Int(mapped.eventNumber)
        switch event {
        // The steps of a removal are no news.
        case .suspended where isRemoving, .resumed where isRemoving, .removalDeferred where isRemoving: break
        case .target(let event):
            let details = mapped.status().reduce(into: [String: TargetInterface.Detail]()) { all, line in
                all.merge([String: TargetInterface.Detail](line.details)) { first, _ in first }
            }
            board.post(number, .init(event.kind), event.text, eventNumber: count, details: details)
        case .loaded: board.post(number, .loaded, eventNumber: count)
        case .cleared: board.post(number, .cleared, eventNumber: count)
        case .suspended: board.post(number, .suspended, eventNumber: count)
        case .resumed: board.post(number, .resumed, eventNumber: count)
        case .resized(let old, let new):
            board.post(number, .resized, "from \(old) to \(new) sectors", eventNumber: count)
        case .flushFailed(let errno):
            board.post(number, .flushFailed, Errno(rawValue: errno).description, eventNumber: count)
        case .renamed(let old):
            board.post(number, .renamed, "it was \(old)", eventNumber: count, name: mapped.name)
        case .removalDeferred: board.post(number, .removalDeferred, eventNumber: count)
        case .removed:
            hasEnded = true
            board.removed(number, eventNumber: count)
            close()
            tellIfGone()
        }
    }
}
