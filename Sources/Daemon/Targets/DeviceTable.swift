import ControlAPI
import Glibc
import SystemPackage
import Targets

// The named devices. Their names are kept here, on an actor; the devices themselves belong to queue threads.
//
// A name is taken from the moment when making its device begins until the device is no more, and nobody sees the device
// before it serves. What changes a device has it alone: calls that want the same one wait for each other, in the order in
// which they came, and whoever has waited looks whether it is still there. What only looks at a device waits for nobody.
//
//     reserved ──(made and exported)──► there ──(removed, stop)──► gone
//         └────────────(failed)──────────────────────────────────────┘

/// The mapped devices of the daemon, by name.
actor DeviceTable {
    typealias Failure = TargetInterface.Failure

    /// A device's place in the table.
    final class Entry {
        let number: Int
        var name: String
        var uuid: String?
        /// Missing while it is being made, and when it is gone.
        var device: HostedDevice?
        var isTaken = false
        var waiting: [CheckedContinuation<Void, Never>] = []

        init(number: Int, name: String, uuid: String?) {
            self.number = number
            self.name = name
            self.uuid = uuid
        }
    }

    /// What sockaddr_un holds, without the zero byte at the end.
    private static let longestPath = 107

    /// Where the sockets are.
    let folder: FilePath
    let rooms: QueueRooms
    let board: EventBoard
    var entries: [Int: Entry] = [:]
    private var names: [String: Int] = [:]
    private var uuids: [String: Int] = [:]
    private var last = 0
    private var isStopping = false

    init(folder: FilePath, rooms: QueueRooms, board: EventBoard) {
        self.folder = folder
        self.rooms = rooms
        self.board = board
    }

    // MARK: Finding

    /// The entry of a device that is there, by its name or else its uuid.
    private func find(_ device: String) throws(Failure) -> Entry {
        guard let number = names[device] ?? uuids[device], let entry = entries[number], entry.device != nil else {
            throw .noSuchDevice(device: device)
        }
        return entry
    }

    /// A device that is there, by its name or else its uuid.
    func device(_ name: String) throws(Failure) -> HostedDevice {
        guard let device = try find(name).device else { throw .noSuchDevice(device: name) }
        return device
    }

    /// The one that is named, or all of them by name.
    func devices(_ name: String?) throws(Failure) -> [HostedDevice] {
        if let name { return [try device(name)] }
        return entries.values.sorted { $0.name < $1.name }.compactMap(\.device)
    }

    /// Answers when the actor has a turn.
    func ping() {}

    // MARK: One after the other

    private func take(_ entry: Entry) async {
        guard entry.isTaken else {
            entry.isTaken = true
            return
        }
        await withCheckedContinuation { entry.waiting.append($0) }
    }

    private func give(_ entry: Entry) {
        if entry.waiting.isEmpty { entry.isTaken = false } else { entry.waiting.removeFirst().resume() }
    }

    /// Waits until nobody else changes a device; the caller gives it back.
    private func take(named name: String) async throws(Failure) -> (Entry, HostedDevice) {
        guard !isStopping else { throw .stopping }
        let entry = try find(name)
        await take(entry)
        if !isStopping, let device = entry.device { return (entry, device) }
        give(entry)
        throw isStopping ? .stopping : .noSuchDevice(device: name)
    }

    /// Does something with a device that nobody else changes meanwhile.
    func change<Value: Sendable>(
        _ name: String, _ body: @Sendable (HostedDevice) async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let (entry, device) = try await take(named: name)
        defer { give(entry) }
        return try await body(device)
    }

    // MARK: Names

    private func reserve(name: String, uuid: String?) throws(Failure) -> Entry {
        try requireFree(name: name)
        if let uuid { try requireFree(uuid: uuid, for: name) }
        last += 1
        let entry = Entry(number: last, name: name, uuid: uuid)
        entry.isTaken = true
        entries[last] = entry
        names[name] = last
        if let uuid { uuids[uuid] = last }
        return entry
    }

    private func requireFree(name: String) throws(Failure) {
        guard names[name] == nil else { throw .exists(object: name, reason: "a device of this name exists") }
    }

    private func requireFree(uuid: String, for name: String) throws(Failure) {
        guard let owner = uuids[uuid].flatMap({ entries[$0] }) else { return }
        throw .exists(object: name, reason: "the uuid \(uuid) is that of device \(owner.name)")
    }

    /// Frees the names of a device that is no more, or was not made; again does nothing.
    func forget(_ number: Int) {
        guard let entry = entries.removeValue(forKey: number) else { return }
        entry.device = nil
        names = names.filter { $0.value != number }
        uuids = uuids.filter { $0.value != number }
        board.forget(number)
    }
}

// MARK: - Making and removing

extension DeviceTable {
    /// Makes a device, whole or not at all.
    func create(_ parameters: TargetInterface.Create.Parameters) async throws(Failure) -> TargetInterface.Device {
        guard !isStopping else { throw .stopping }
        let name = parameters.name
        let socket = try socket(of: name, uuid: parameters.uuid, "create")
        let entry = try reserve(name: name, uuid: parameters.uuid)
        defer { give(entry) }
        let number = entry.number
        board.expect(number, name: name, uuid: parameters.uuid)
        let device: HostedDevice
        do throws(Failure) {
            device = try await HostedDevice.make(number, parameters, socket: socket, rooms.room(), board) {
                Task { [weak self] in await self?.forget(number) }
            }
        } catch {
            forget(number)
            throw error
        }
        guard !isStopping, let info = await device.info() else {
            _ = await device.remove(force: true)
            forget(number)
            throw .stopping
        }
        entry.device = device
        board.created(number)
        return info
    }

    /// Where the device of this name is to be exported.
    /// - Throws: which rule the name or the uuid breaks.
    private func socket(of name: String, uuid: String? = nil, _ operation: String) throws(Failure) -> FilePath {
        do throws(TargetError) {
            try MappedDevice.check(name: name, uuid: uuid ?? "")
        } catch {
            throw Failure(TargetError(error.object, operation, error.errno, error.reason))
        }
        let path = folder.appending("\(name).sock")
        guard path.string.utf8.count <= Self.longestPath else {
            throw .failed(
                object: name, operation: operation,
                reason: "its socket \(path) would have a path of more than \(Self.longestPath) bytes",
                errno: ENAMETOOLONG)
        }
        return path
    }

    /// Removes a device.
    /// - Returns: false where it goes when its last user has gone.
    func remove(_ parameters: TargetInterface.Remove.Parameters) async throws(Failure) -> Bool {
        let (entry, device) = try await take(named: parameters.device)
        defer { give(entry) }
        guard let clients = await device.remove(force: parameters.force == true) else {
            forget(entry.number)
            return true
        }
        guard parameters.deferred == true else { throw .inUse(device: entry.name, clients: clients) }
        try await device.deferRemoval()
        return false
    }

    /// Gives a device another name, or a uuid.
    func rename(_ parameters: TargetInterface.Rename.Parameters) async throws(Failure) -> TargetInterface.Device {
        let (entry, device) = try await take(named: parameters.device)
        defer { give(entry) }
        switch (parameters.name, parameters.uuid) {
        case (let name?, nil): try await rename(entry, device, name)
        case (nil, let uuid?): try await identify(entry, device, uuid)
        default:
            throw .failed(
                object: entry.name, operation: "rename", reason: "either a name or a uuid is needed", errno: EINVAL)
        }
        guard let info = await device.info() else { throw .noSuchDevice(device: parameters.device) }
        return info
    }

    private func rename(_ entry: Entry, _ device: HostedDevice, _ name: String) async throws(Failure) {
        let socket = try socket(of: name, "rename")
        try requireFree(name: name)
        names[name] = entry.number
        do throws(Failure) {
            try await device.rename(name, socket: socket)
        } catch {
            names[name] = nil
            throw error
        }
        // The device may have gone meanwhile, and another one have its name.
        if names[entry.name] == entry.number { names[entry.name] = nil }
        entry.name = name
    }

    private func identify(_ entry: Entry, _ device: HostedDevice, _ uuid: String) async throws(Failure) {
        try requireFree(uuid: uuid, for: entry.name)
        uuids[uuid] = entry.number
        do throws(Failure) {
            try await device.identify(uuid)
        } catch {
            uuids[uuid] = nil
            throw error
        }
        entry.uuid = uuid
        board.identified(entry.number, uuid: uuid)
    }

    // MARK: The end

    /// Takes no new work, suspends all devices and then removes them, the newest first; answers when the last one has gone.
    func stop() async {
        isStopping = true
        // All at once, so that clients who do not go keep no others waiting.
        for entry in entries.values { entry.device?.closeExport() }
        // Before the first one goes: a write that waits for a snapshot's store must not reach the origin because the
        // snapshot has gone.
        for number in entries.keys.sorted(by: >) {
            guard let entry = entries[number] else { continue }
            await take(entry)
            defer { give(entry) }
            await entry.device?.quiesce()
        }
        for number in entries.keys.sorted(by: >) {
            guard let entry = entries[number] else { continue }
            await take(entry)
            defer { give(entry) }
            guard let device = entry.device else { continue }
            _ = await device.remove(force: true)
            forget(number)
        }
    }
}
