import ArgumentParser
import ControlAPI

/// `ucopyctl status`.
struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "status", abstract: "Print the status of mapped devices' targets.")

    @Option(help: ArgumentHelp("Only targets of this type.", valueName: "type"))
    var target: String?

    @Flag(help: "Of the table that was loaded, not of the live one.")
    var inactive = false

    @Flag(help: "Accepted for the sake of scripts: nothing is flushed for a status.")
    var noflush = false

    @Flag(help: "Print a JSON array.")
    var json = false

    @OptionGroup var devices: OptionalDeviceArguments
    @OptionGroup var connection: ConnectionOptions

    mutating func run() throws {
        let calls = try DeviceCalls(connection, "status")
        let (target, inactive, json) = (target, inactive, json)
        let named = devices.names.count != 1
        try DeviceCalls.query(devices.names) { name throws(Failure) in
            try calls.call(TargetInterface.Status.self, .init(device: name, inactive: inactive)).devices
        } show: { devices in
            let chosen = devices.compactMap { device -> TargetInterface.DeviceStatus? in
                guard let target else { return device }
                var device = device
                device.lines.removeAll { $0.target != target }
                return device.lines.isEmpty ? nil : device
            }
            if json { return try StandardStreams.print(JSONText.encode(chosen)) }
            try Listing.print(devices.isEmpty, chosen.flatMap { DeviceText.status($0, named: named) })
        }
    }
}

/// `ucopyctl table`.
struct TableCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "table", abstract: "Print the tables of mapped devices, in a form that create and reload take.")

    @Option(help: ArgumentHelp("Only targets of this type.", valueName: "type"))
    var target: String?

    @Flag(help: "The table that was loaded, not the live one.")
    var inactive = false

    @Flag(help: "Print a JSON array.")
    var json = false

    @OptionGroup var devices: OptionalDeviceArguments
    @OptionGroup var connection: ConnectionOptions

    mutating func run() throws {
        let calls = try DeviceCalls(connection, "table")
        let (target, inactive, json) = (target, inactive, json)
        let named = devices.names.count != 1
        try DeviceCalls.query(devices.names) { name throws(Failure) in
            try calls.call(TargetInterface.Table.self, .init(device: name, inactive: inactive)).devices
        } show: { devices in
            let chosen = devices.compactMap { device -> TargetInterface.DeviceTable? in
                guard let target else { return device }
                var device = device
                device.lines.removeAll { $0.target != target }
                return device.lines.isEmpty ? nil : device
            }
            if json { return try StandardStreams.print(JSONText.encode(chosen)) }
            try Listing.print(devices.isEmpty, chosen.flatMap { DeviceText.table($0, named: named) })
        }
    }
}

/// `ucopyctl deps`.
struct DepsCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "deps", abstract: "Print the devices that mapped devices' tables use.")

    @Flag(help: "Print a JSON array.")
    var json = false

    @OptionGroup var devices: OptionalDeviceArguments
    @OptionGroup var connection: ConnectionOptions

    mutating func run() throws {
        let calls = try DeviceCalls(connection, "deps")
        let (json, named) = (json, devices.names.count != 1)
        try DeviceCalls.query(devices.names) { name throws(Failure) in
            try calls.call(TargetInterface.Dependencies.self, .init(device: name)).devices
        } show: { devices in
            if json { return try StandardStreams.print(JSONText.encode(devices)) }
            try Listing.print(devices.isEmpty, devices.map { DeviceText.dependencies($0, named: named) })
        }
    }
}

/// `ucopyctl info`.
struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb("info", abstract: "Print the state of mapped devices.")

    @Flag(name: [.customShort("c"), .customShort("C"), .long], help: "One line for each, in columns.")
    var columns = false

    @Flag(help: "Print a JSON array.")
    var json = false

    @OptionGroup var devices: OptionalDeviceArguments
    @OptionGroup var connection: ConnectionOptions

    mutating func run() throws {
        let calls = try DeviceCalls(connection, "info")
        let (columns, json) = (columns, json)
        try DeviceCalls.query(devices.names) { name throws(Failure) in
            guard let name else { return try calls.call(TargetInterface.List.self, .init()).devices }
            return [try calls.call(TargetInterface.Info.self, .init(device: name)).device]
        } show: { devices in
            if json { return try StandardStreams.print(JSONText.encode(devices)) }
            try Listing.print(
                devices.isEmpty, columns ? DeviceText.columns(devices) : devices.map(DeviceText.info))
        }
    }
}

/// `ucopyctl ls`.
struct LsCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb("ls", abstract: "Print the names of the mapped devices.")

    @Option(help: ArgumentHelp("Only those that have a target of this type.", valueName: "type"))
    var target: String?

    @Flag(help: "Print a JSON array of the devices.")
    var json = false

    @OptionGroup var connection: ConnectionOptions

    mutating func run() throws {
        let devices = try DeviceCalls(connection, "ls").call(TargetInterface.List.self, .init(target: target)).devices
        if json { return try StandardStreams.print(JSONText.encode(devices)) }
        try Listing.print(devices.isEmpty, devices.map(\.name))
    }
}

/// `ucopyctl targets`.
struct TargetsCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "targets", abstract: "Print the types of targets that tables can have, with their versions.")

    @Flag(help: "Print a JSON array.")
    var json = false

    @OptionGroup var connection: ConnectionOptions

    mutating func run() throws {
        let types = try DeviceCalls(connection, "targets").call(TargetInterface.Targets.self, .init()).targets
        if json { return try StandardStreams.print(JSONText.encode(types)) }
        try Listing.print(false, types.map(DeviceText.targetType))
    }
}

/// Lists on standard output.
enum Listing {
    /// Prints lines, or that there are no devices.
    static func print(_ isEmpty: Bool, _ lines: [String]) throws(Failure) {
        if isEmpty { return try StandardStreams.print(DeviceText.none) }
        if !lines.isEmpty { try StandardStreams.print(lines.joined(separator: "\n") + "\n") }
    }
}
