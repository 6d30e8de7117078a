import BlockIO
import ControlAPI
import Dispatch
import KCopy
import Synchronization
public import Varlink

extension CopyControl {
    private static let progressIntervals = 10...3_600_000
    private static let defaultProgressInterval = 200

    /// `io.ucopyd.Copy`, carried out by this object.
    /// - Throws: where the description does not parse, which no caller can cause.
    public func makeInterface() throws(InterfaceDescriptionError) -> VarlinkInterface {
        try VarlinkInterface(
            CopyInterface.description,
            methods: [
                "CreateClient": { [self] call throws(VarlinkError) in try createClient(call) },
                "DestroyClient": { [self] call throws(VarlinkError) in try destroyClient(call) },
                "OpenDevice": { [self] call throws(VarlinkError) in try openDevice(call) },
                "CloseDevice": { [self] call throws(VarlinkError) in try closeDevice(call) },
                "Copy": { [self] call throws(VarlinkError) in try copy(call) },
                "Zero": { [self] call throws(VarlinkError) in try zero(call) },
                "List": { [self] call throws(VarlinkError) in call.reply(list(for: call.peer)) },
                "Watch": { [self] call throws(VarlinkError) in try watch(call) },
                "Cancel": { [self] call throws(VarlinkError) in try cancel(call) },
                "SetRate": { [self] call throws(VarlinkError) in try setRate(call) },
            ])
    }

    /// Answers a call on the queue of an account.
    private func answer(
        _ call: VarlinkCall, on account: PeerAccount,
        _ body: @escaping @Sendable () throws(CopyInterface.Failure) -> any Encodable & Sendable
    ) {
        account.queue.async {
            do throws(CopyInterface.Failure) {
                call.reply(try body())
            } catch {
                call.fail(error.varlinkError)
            }
        }
    }

    // MARK: Clients

    private func createClient(_ call: VarlinkCall) throws(VarlinkError) {
        let parameters = try call.decode(CopyInterface.CreateClient.Parameters.self)
        let rate = try Self.rate(parameters.bytesPerSecond, parameters.percent)
        let account = book.account(of: call.peer)
        let session = call.connection
        answer(call, on: account) { [self] () throws(CopyInterface.Failure) in
            let client = try createClient(parameters, rate: rate, peer: session.peer, account: account)
            let (number, keep) = (client.number, client.profile.keep)
            session.onClose { [weak self] in self?.end(number, cancel: !keep) }
            return CopyInterface.CreateClient.Reply(client: number)
        }
    }

    private func destroyClient(_ call: VarlinkCall) throws(VarlinkError) {
        let parameters = try call.decode(CopyInterface.DestroyClient.Parameters.self)
        let client = try declared { () throws(CopyInterface.Failure) in
            try self.client(parameters.client, for: call.peer)
        }
        if parameters.cancel != true { client.liftHold() }
        end(client.number, cancel: parameters.cancel == true) { call.reply(CopyInterface.Empty()) }
    }

    // MARK: Devices

    private func openDevice(_ call: VarlinkCall) throws(VarlinkError) {
        let parameters = try call.decode(CopyInterface.OpenDevice.Parameters.self)
        let devices = ConnectionDevices.of(call.connection, book)
        let (writable, claim) = (parameters.writable == true, parameters.force != true)
        switch (parameters.path, parameters.descriptor) {
        case (let path?, nil):
            guard Self.isTrusted(call.peer) else { throw .permissionDenied }
            answer(call, on: devices.account) { [self] () throws(CopyInterface.Failure) in
                try requireRunning()
                let device = try SharedDevice.open(path, writable: writable, claim: claim, account: devices.account)
                return keep(device, devices)
            }
        case (nil, let index?):
            let descriptor = try call.takeDescriptor(at: index, parameter: "descriptor")
            let name = PeerLimits.name(parameters.name ?? "descriptor \(index)")
            answer(call, on: devices.account) { [self] () throws(CopyInterface.Failure) in
                let device = try SharedDevice.open(
                    descriptor, name: name, claim: writable && claim, account: devices.account)
                return keep(device, devices)
            }
        default: throw .invalidParameter("path")
        }
    }

    private func keep(_ device: SharedDevice, _ devices: ConnectionDevices) -> CopyInterface.OpenDevice.Reply {
        let number = tables.withLock { tables in
            tables.lastDevice += 1
            return tables.lastDevice
        }
        let reply = CopyInterface.OpenDevice.Reply(
            device: number, sectors: device.device.sectors, logicalBlockSize: device.device.geometry.logicalBlockSize)
        devices.add(device, as: number)
        return reply
    }

    private func closeDevice(_ call: VarlinkCall) throws(VarlinkError) {
        let number = try call.decode(CopyInterface.CloseDevice.Parameters.self).device
        let devices = ConnectionDevices.of(call.connection, book)
        guard let device = devices.remove(number) else {
            throw CopyInterface.Failure.noSuchDevice(device: number).varlinkError
        }
        answer(call, on: devices.account) {
            device.release()
            return CopyInterface.Empty()
        }
    }

    // MARK: Jobs

    private func copy(_ call: VarlinkCall) throws(VarlinkError) {
        let parameters = try call.decode(CopyInterface.Copy.Parameters.self)
        let client = try declared { () throws(CopyInterface.Failure) in
            try self.client(parameters.client, for: call.peer)
        }
        let regions = try JobRegions(
            source: parameters.source, destinations: parameters.destinations, parameter: "destinations", call: call,
            devices: ConnectionDevices.of(call.connection, book))
        answer(call, on: client.account) { [self] () throws(CopyInterface.Failure) in
            let options = parameters.options ?? CopyInterface.Options()
            return CopyInterface.JobReply(job: try start(.copy, regions, options: options, client: client).number)
        }
    }

    private func zero(_ call: VarlinkCall) throws(VarlinkError) {
        let parameters = try call.decode(CopyInterface.Zero.Parameters.self)
        let client = try declared { () throws(CopyInterface.Failure) in
            try self.client(parameters.client, for: call.peer)
        }
        let regions = try JobRegions(
            source: nil, destinations: parameters.regions, parameter: "regions", call: call,
            devices: ConnectionDevices.of(call.connection, book))
        answer(call, on: client.account) { [self] () throws(CopyInterface.Failure) in
            let options = parameters.options ?? CopyInterface.Options()
            return CopyInterface.JobReply(job: try start(.zero, regions, options: options, client: client).number)
        }
    }

    private func watch(_ call: VarlinkCall) throws(VarlinkError) {
        let parameters = try call.decode(CopyInterface.Watch.Parameters.self)
        switch (parameters.job, parameters.client) {
        case (let number?, nil):
            let wanted = parameters.interval ?? Self.defaultProgressInterval
            guard wanted >= 0 else { throw .invalidParameter("interval") }
            let interval = min(max(wanted, Self.progressIntervals.lowerBound), Self.progressIntervals.upperBound)
            let job = try declared { () throws(CopyInterface.Failure) in try self.job(number, for: call.peer) }
            reports.watch(job, call, .watch, interval: call.more ? interval : nil)
        case (nil, let number?):
            try call.expectMore()
            let client = try declared { () throws(CopyInterface.Failure) in try self.client(number, for: call.peer) }
            reports.watch(client.feed, call)
        default: throw .invalidParameter("job")
        }
    }

    private func cancel(_ call: VarlinkCall) throws(VarlinkError) {
        let number = try call.decode(CopyInterface.Cancel.Parameters.self).job
        let job = try declared { () throws(CopyInterface.Failure) in try self.job(number, for: call.peer) }
        job.cancel()
        reports.watch(job, call, .cancel)
    }

    private func setRate(_ call: VarlinkCall) throws(VarlinkError) {
        let parameters = try call.decode(CopyInterface.SetRate.Parameters.self)
        let rate = try Self.rate(parameters.bytesPerSecond, parameters.percent)
        let client = try declared { () throws(CopyInterface.Failure) in
            switch (parameters.job, parameters.client) {
            case (let number?, nil):
                let job = try self.job(number, for: call.peer)
                return tables.withLock { $0.clients[job.client.number]?.client }
            case (nil, let number?): return try self.client(number, for: call.peer)
            default: return nil
            }
        }
        if let client {
            client.setRate(rate)
        } else if (parameters.job == nil) == (parameters.client == nil) {
            throw .invalidParameter("job")
        }
        // The client of a job that has ended may be gone: then there is nothing left to pace.
        call.reply(CopyInterface.Empty())
    }

    // MARK: Small conversions

    private static func rate(_ bytesPerSecond: UInt64?, _ percent: Int?) throws(VarlinkError) -> CopyRate {
        let percent = percent ?? 100
        guard (0...100).contains(percent) else { throw .invalidParameter("percent") }
        return CopyRate(bytesPerSecond: bytesPerSecond, percent: percent)
    }

    /// Turns failures that the interface declares into errors on the wire.
    private func declared<R>(_ body: () throws(CopyInterface.Failure) -> R) throws(VarlinkError) -> R {
        do throws(CopyInterface.Failure) {
            return try body()
        } catch {
            throw error.varlinkError
        }
    }
}
