import ControlAPI
import SystemPackage

@testable import Daemon

extension TestDaemon {
    /// Where a device is exported.
    func export(_ name: String) -> FilePath { directory.path.appending("nbd").appending("\(name).sock") }

    /// A client of a device.
    func client(of name: String) throws -> NBDShell { try NBDShell(export(name)) }
}

extension ControlConnection {
    @discardableResult
    func create(
        _ name: String, _ table: String? = nil, uuid: String? = nil, readOnly: Bool? = nil
    ) throws -> TargetInterface.Device {
        try call(TargetInterface.Create.self, .init(name: name, uuid: uuid, table: table, readOnly: readOnly)).device
    }

    func load(_ name: String, _ table: String, readOnly: Bool? = nil) throws {
        _ = try call(TargetInterface.Load.self, .init(device: name, table: table, readOnly: readOnly))
    }

    func suspend(_ name: String) throws { _ = try call(TargetInterface.Suspend.self, .init(device: name)) }

    func resume(_ name: String) throws { _ = try call(TargetInterface.Resume.self, .init(device: name)) }

    func clear(_ name: String) throws { _ = try call(TargetInterface.Clear.self, .init(device: name)) }

    @discardableResult
    func remove(_ name: String, force: Bool? = nil, deferred: Bool? = nil) throws -> Bool {
        try call(TargetInterface.Remove.self, .init(device: name, force: force, deferred: deferred)).removed
    }

    @discardableResult
    func rename(_ name: String, to new: String? = nil, uuid: String? = nil) throws -> TargetInterface.Device {
        try call(TargetInterface.Rename.self, .init(device: name, name: new, uuid: uuid)).device
    }

    func info(_ name: String) throws -> TargetInterface.Device {
        try call(TargetInterface.Info.self, .init(device: name)).device
    }

    /// The names of all devices.
    func devices(target: String? = nil) throws -> [String] {
        try call(TargetInterface.List.self, .init(target: target)).devices.map(\.name)
    }

    /// Waits until nobody uses a device: a client's end is noticed when the daemon gets to it.
    func waitUntilUnused(_ name: String) throws {
        while try info(name).openCount > 0 {}
    }
}

/// What `io.ucopyd.Target` says went wrong, or nil.
func targetFailure(_ body: () throws -> Void) -> TargetInterface.Failure? {
    do {
        try body()
        return nil
    } catch ControlError.target(let failure) {
        return failure
    } catch {
        return nil
    }
}
