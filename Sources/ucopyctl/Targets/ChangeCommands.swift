import ArgumentParser
import ControlAPI

/// `ucopyctl remove`.
struct RemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "remove", abstract: "Remove mapped devices that nobody uses.")

    @Flag(name: [.customShort("f"), .long], help: "End the connections of those who use them.")
    var force = false

    @Flag(help: "Remove those in use as soon as their last user has gone.")
    var deferred = false

    @OptionGroup var devices: DeviceArguments
    @OptionGroup var connection: ConnectionOptions

    mutating func run() throws {
        let calls = try DeviceCalls(connection, "remove")
        try DeviceCalls.each(devices.names) { name in
            _ = try calls.call(
                TargetInterface.Remove.self,
                TargetInterface.Remove.Parameters(device: name, force: force, deferred: deferred))
        }
    }
}

/// `ucopyctl suspend`.
struct SuspendCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "suspend", abstract: "Let requests to mapped devices wait, and wait for those under way.")

    @OptionGroup var flush: FlushOptions
    @OptionGroup var devices: DeviceArguments
    @OptionGroup var connection: ConnectionOptions

    mutating func run() throws {
        let calls = try DeviceCalls(connection, "suspend")
        try DeviceCalls.each(devices.names) { name in
            _ = try calls.call(
                TargetInterface.Suspend.self,
                TargetInterface.SuspendParameters(device: name, noFlush: flush.noflush, noLockFS: flush.nolockfs))
        }
    }
}

/// `ucopyctl resume`.
struct ResumeDeviceCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "resume", abstract: "Let requests to mapped devices go on, with the table that was loaded if there is one.")

    @OptionGroup var flush: FlushOptions
    @OptionGroup var devices: DeviceArguments
    @OptionGroup var connection: ConnectionOptions

    mutating func run() throws {
        let calls = try DeviceCalls(connection, "resume")
        try DeviceCalls.each(devices.names) { name in
            _ = try calls.call(
                TargetInterface.Resume.self,
                TargetInterface.SuspendParameters(device: name, noFlush: flush.noflush, noLockFS: flush.nolockfs))
        }
    }
}

/// `ucopyctl clear`.
struct ClearCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "clear", abstract: "Drop the tables that were loaded and not resumed.")

    @OptionGroup var devices: DeviceArguments
    @OptionGroup var connection: ConnectionOptions

    mutating func run() throws {
        let calls = try DeviceCalls(connection, "clear")
        try DeviceCalls.each(devices.names) { name in
            _ = try calls.call(TargetInterface.Clear.self, TargetInterface.DeviceParameters(device: name))
        }
    }
}

/// `ucopyctl rename`.
struct RenameCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "rename", abstract: "Give a mapped device another name, or the uuid that it has not got.")

    @Option(help: ArgumentHelp("Set the uuid, once, instead of the name.", valueName: "uuid"))
    var setuuid: String?

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The device, by name or uuid.")
    var name: String

    @Argument(help: "The new name.")
    var newName: String?

    mutating func validate() throws {
        guard (newName == nil) != (setuuid == nil) else {
            throw ValidationError("either a new name or --setuuid is needed")
        }
    }

    mutating func run() throws {
        _ = try DeviceCalls(connection, "rename").call(
            TargetInterface.Rename.self,
            TargetInterface.Rename.Parameters(device: name, name: newName, uuid: setuuid))
    }
}

/// `ucopyctl message`.
struct MessageCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "message", abstract: "Send words to the target at a sector of a mapped device, and print what it answers.")

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The device, by name or uuid.")
    var name: String

    @Argument(help: "A sector of the target; 0 if in doubt.", transform: { try sectorNumber($0) })
    var sector: UInt64

    @Argument(help: ArgumentHelp("The words.", valueName: "text"))
    var words: [String]

    mutating func run() throws {
        let answer = try DeviceCalls(connection, "message").call(
            TargetInterface.Message.self,
            TargetInterface.Message.Parameters(device: name, sector: sector, text: words.joined(separator: " "))
        ).text
        if !answer.isEmpty { try StandardStreams.print(answer) }
    }
}

/// Reads a sector's number.
func sectorNumber(_ text: String) throws -> UInt64 {
    guard let sector = UInt64(text), sector <= RegionArgument.sectorLimit else {
        throw ValidationError("a sector is a number from 0 on")
    }
    return sector
}
