import ControlAPI
import Dispatch
import Glibc
import Logging
import SystemPackage
import Targets
import Varlink

// Handlers run on the queue of the caller's connection. They look at who calls and what he wants, and leave the rest to a
// task: the table of devices is an actor, and what changes a device may wait for I/O.

/// The implementation of `io.ucopyd.Target`.
final class TargetControl: Sendable {
    typealias Failure = TargetInterface.Failure

    let rooms: QueueRooms
    let board: EventBoard
    let table: DeviceTable

    /// - Parameters:
    ///   - rooms: the threads that devices are served on.
    ///   - folder: where the devices' sockets go; it has to exist.
    init(rooms: QueueRooms, folder: FilePath, logger: Logger) {
        self.rooms = rooms
        board = EventBoard(logger)
        table = DeviceTable(folder: folder, rooms: rooms, board: board)
    }

    /// Calls back when the table of devices, the events' queue and the queue threads have answered.
    func ping(_ answer: @escaping @Sendable () -> Void) {
        Task { [self] in
            await table.ping()
            board.queue.async { [self] in rooms.ping(answer) }
        }
    }

    /// Removes all devices and tells everybody who waits.
    func stop() async {
        await table.stop()
        await withCheckedContinuation { continuation in board.stop { continuation.resume() } }
    }
}

// MARK: - The interface

extension TargetControl {
    /// `io.ucopyd.Target`, carried out by this object.
    /// - Throws: where the description does not parse, which no caller can cause.
    func makeInterface() throws(InterfaceDescriptionError) -> VarlinkInterface {
        try VarlinkInterface(
            TargetInterface.description,
            methods: [
                "Create": { [self] call throws(VarlinkError) in try create(call) },
                "Remove": { [self] call throws(VarlinkError) in try remove(call) },
                "Suspend": { [self] call throws(VarlinkError) in try suspend(call) },
                "Resume": { [self] call throws(VarlinkError) in try resume(call) },
                "Load": { [self] call throws(VarlinkError) in try load(call) },
                "Clear": { [self] call throws(VarlinkError) in try clear(call) },
                "Rename": { [self] call throws(VarlinkError) in try rename(call) },
                "Message": { [self] call throws(VarlinkError) in try message(call) },
                "Status": { [self] call throws(VarlinkError) in try status(call) },
                "Table": { [self] call throws(VarlinkError) in try tables(call) },
                "Dependencies": { [self] call throws(VarlinkError) in try dependencies(call) },
                "Info": { [self] call throws(VarlinkError) in try info(call) },
                "List": { [self] call throws(VarlinkError) in try list(call) },
                "Targets": { [self] call throws(VarlinkError) in targets(call) },
                "Wait": { [self] call throws(VarlinkError) in try wait(call) },
                "Events": { [self] call throws(VarlinkError) in try events(call) },
            ])
    }

    /// Answers a call with what a task comes to.
    private func answer<Reply: Encodable & Sendable>(
        _ call: VarlinkCall, _ body: @escaping @Sendable (TargetControl) async throws(Failure) -> Reply
    ) {
        Task { [self] in
            do throws(Failure) {
                call.reply(try await body(self))
            } catch {
                call.fail(error.varlinkError)
            }
        }
    }

    /// What a call takes that makes or changes devices.
    /// - Throws: `PermissionDenied` for callers that may only look; `InvalidParameter`.
    private func trusted<Parameters: Decodable>(
        _ call: VarlinkCall, _ type: Parameters.Type
    ) throws(VarlinkError) -> Parameters {
        guard CopyControl.isTrusted(call.peer) else { throw .permissionDenied }
        return try call.decode(type)
    }

    // MARK: Changing

    private func create(_ call: VarlinkCall) throws(VarlinkError) {
        let parameters = try trusted(call, TargetInterface.Create.Parameters.self)
        answer(call) { control throws(Failure) in
            TargetInterface.DeviceReply(device: try await control.table.create(parameters))
        }
    }

    private func remove(_ call: VarlinkCall) throws(VarlinkError) {
        let parameters = try trusted(call, TargetInterface.Remove.Parameters.self)
        answer(call) { control throws(Failure) in
            TargetInterface.Remove.Reply(removed: try await control.table.remove(parameters))
        }
    }

    private func suspend(_ call: VarlinkCall) throws(VarlinkError) {
        let parameters = try trusted(call, TargetInterface.SuspendParameters.self)
        answer(call) { control throws(Failure) in
            try await control.table.change(parameters.device) { device throws(Failure) in
                try await device.suspend(noFlush: parameters.noFlush == true)
            }
            return TargetInterface.Empty()
        }
    }

    private func resume(_ call: VarlinkCall) throws(VarlinkError) {
        let parameters = try trusted(call, TargetInterface.SuspendParameters.self)
        answer(call) { control throws(Failure) in
            try await control.table.change(parameters.device) { device throws(Failure) in
                try await device.resume(noFlush: parameters.noFlush == true)
            }
            return TargetInterface.Empty()
        }
    }

    private func load(_ call: VarlinkCall) throws(VarlinkError) {
        let parameters = try trusted(call, TargetInterface.Load.Parameters.self)
        answer(call) { control throws(Failure) in
            try await control.table.change(parameters.device) { device throws(Failure) in
                try await device.load(parameters)
            }
            return TargetInterface.Empty()
        }
    }

    private func clear(_ call: VarlinkCall) throws(VarlinkError) {
        let parameters = try trusted(call, TargetInterface.DeviceParameters.self)
        answer(call) { control throws(Failure) in
            try await control.table.change(parameters.device) { device throws(Failure) in
                try await device.clear()
            }
            return TargetInterface.Empty()
        }
    }

    private func rename(_ call: VarlinkCall) throws(VarlinkError) {
        let parameters = try trusted(call, TargetInterface.Rename.Parameters.self)
        answer(call) { control throws(Failure) in
            TargetInterface.DeviceReply(device: try await control.table.rename(parameters))
        }
    }

    private func message(_ call: VarlinkCall) throws(VarlinkError) {
        let parameters = try trusted(call, TargetInterface.Message.Parameters.self)
        answer(call) { control throws(Failure) in
            let text = try await control.table.change(parameters.device) { device throws(Failure) in
                try await device.message(sector: parameters.sector, text: parameters.text)
            }
            return TargetInterface.Message.Reply(text: text)
        }
    }

    // MARK: Looking

    /// What devices answer: the one that is named, or all.
    /// - Throws: `noSuchDevice` where the one that is named is not there, or goes meanwhile.
    private func ask<Answer: Sendable>(
        _ name: String?, _ question: @Sendable (HostedDevice) async -> Answer?
    ) async throws(Failure) -> [Answer] {
        var answers: [Answer] = []
        for device in try await table.devices(name) {
            if let answer = await question(device) { answers.append(answer) }
        }
        if let name, answers.isEmpty { throw .noSuchDevice(device: name) }
        return answers
    }

    private func status(_ call: VarlinkCall) throws(VarlinkError) {
        let query = try call.decode(TargetInterface.QueryParameters.self)
        answer(call) { control throws(Failure) in
            TargetInterface.Status.Reply(
                devices: try await control.ask(query.device) { await $0.status(inactive: query.inactive == true) })
        }
    }

    private func tables(_ call: VarlinkCall) throws(VarlinkError) {
        let query = try call.decode(TargetInterface.QueryParameters.self)
        answer(call) { control throws(Failure) in
            TargetInterface.Table.Reply(
                devices: try await control.ask(query.device) { await $0.table(inactive: query.inactive == true) })
        }
    }

    private func dependencies(_ call: VarlinkCall) throws(VarlinkError) {
        let name = try call.decode(TargetInterface.Dependencies.Parameters.self).device
        answer(call) { control throws(Failure) in
            TargetInterface.Dependencies.Reply(devices: try await control.ask(name) { await $0.dependencies() })
        }
    }

    private func info(_ call: VarlinkCall) throws(VarlinkError) {
        let name = try call.decode(TargetInterface.DeviceParameters.self).device
        answer(call) { control throws(Failure) in
            guard let device = try await control.ask(name, { await $0.info() }).first else {
                throw .noSuchDevice(device: name)
            }
            return TargetInterface.DeviceReply(device: device)
        }
    }

    private func list(_ call: VarlinkCall) throws(VarlinkError) {
        let target = try call.decode(TargetInterface.List.Parameters.self).target
        answer(call) { control throws(Failure) in
            TargetInterface.List.Reply(
                devices: try await control.ask(nil) { device in
                    guard let target else { return await device.info() }
                    let table = await device.table(inactive: false)
                    guard table?.lines.contains(where: { $0.target == target }) == true else { return nil }
                    return await device.info()
                })
        }
    }

    private func targets(_ call: VarlinkCall) {
        call.reply(
            TargetInterface.Targets.Reply(
                targets: rooms.registry.types.map { TargetInterface.TargetType(name: $0.name, version: $0.version) }))
    }

    // MARK: Waiting

    private func wait(_ call: VarlinkCall) throws(VarlinkError) {
        let parameters = try call.decode(TargetInterface.Wait.Parameters.self)
        if let number = parameters.eventNumber, number < 0 { throw .invalidParameter("eventNumber") }
        if parameters.until?.isEmpty == true { throw .invalidParameter("until") }
        find(parameters.device, for: call) { control, device in
            let waiter = EventWaiter(
                call: call, device: parameters.device, eventNumber: parameters.eventNumber ?? 0,
                until: parameters.until.map(Set.init))
            control.board.wait(waiter, for: device.number)
        }
    }

    private func events(_ call: VarlinkCall) throws(VarlinkError) {
        try call.expectMore()
        guard let name = try call.decode(TargetInterface.Events.Parameters.self).device else {
            return board.watch(call, nil)
        }
        find(name, for: call) { control, device in control.board.watch(call, (device.number, name)) }
    }

    private func find(
        _ name: String, for call: VarlinkCall, then: @escaping @Sendable (TargetControl, HostedDevice) -> Void
    ) {
        Task { [self] in
            do throws(Failure) {
                then(self, try await table.device(name))
            } catch {
                call.fail(error.varlinkError)
            }
        }
    }
}
