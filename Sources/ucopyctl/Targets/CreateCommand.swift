import ArgumentParser
import ControlAPI

/// `ucopyctl create`.
struct CreateCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "create", abstract: "Make a mapped device of a table, and export it.",
        discussion: "The table is given with --table, in a file, or on standard input.")

    @Option(name: [.customShort("u"), .long], help: ArgumentHelp("The device's uuid.", valueName: "uuid"))
    var uuid: String?

    @Flag(name: [.customShort("n"), .long], help: "Make a device without a table.")
    var notable = false

    @OptionGroup var options: TableOptions

    @Flag(help: "Print the new device as a JSON object.")
    var json = false

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The device's name.")
    var name: String

    @Argument(help: ArgumentHelp("A file that holds the table.", valueName: "file"), completion: .file())
    var tableFile: String?

    mutating func validate() throws {
        if [notable, options.table != nil, tableFile != nil].count(where: { $0 }) > 1 {
            throw ValidationError("--notable, --table and a file exclude each other")
        }
    }

    mutating func run() throws {
        let table = notable ? nil : try options.text(file: tableFile)
        let calls = try DeviceCalls(connection, "create")
        let device = try calls.call(
            TargetInterface.Create.self,
            TargetInterface.Create.Parameters(
                name: name, uuid: uuid, table: table, readOnly: options.readonly, pages: options.pages,
                overflow: options.overflow)
        ).device
        if json { try StandardStreams.print(JSONText.encode(device)) }
    }
}

/// `ucopyctl reload`.
struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "reload", abstract: "Load a table that takes effect when the device is resumed.",
        discussion: "The table is given with --table, in a file, or on standard input.", aliases: ["load"])

    @OptionGroup var options: TableOptions
    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The device, by name or uuid.")
    var name: String

    @Argument(help: ArgumentHelp("A file that holds the table.", valueName: "file"), completion: .file())
    var tableFile: String?

    mutating func validate() throws {
        if options.table != nil, tableFile != nil {
            throw ValidationError("--table and a file exclude each other")
        }
    }

    mutating func run() throws {
        let table = try options.text(file: tableFile)
        _ = try DeviceCalls(connection, "reload").call(
            TargetInterface.Load.self,
            TargetInterface.Load.Parameters(
                device: name, table: table, readOnly: options.readonly ? true : nil, pages: options.pages,
                overflow: options.overflow))
    }
}
