import ArgumentParser
import BlockIO
import SystemPackage
import Targets

/// `ucopyctl store`.
struct StoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "store", abstract: "Look into the exception store of a snapshot, or repair it, in this process.",
        discussion: "The store must not be in use: what is read while it changes makes no sense.",
        subcommands: [StoreCheckCommand.self, StoreDumpCommand.self, StoreRepairCommand.self])

    mutating func run() throws {
        throw ValidationError("what is to be done is missing: check, dump or repair")
    }
}

extension StoreInspector {
    /// Does something with the store on a device, which is opened for it.
    static func with<Value>(
        _ path: String, isWritten: Bool = false, _ body: (StoreInspector) throws -> Value
    ) throws -> Value {
        do {
            let device = try BlockDevice.open(
                FilePath(path), access: isWritten ? .readWrite : .readOnly, claim: isWritten)
            defer { device.close() }
            return try body(StoreInspector(device: device))
        } catch let error as BlockError {
            throw Failure(error)
        }
    }
}

/// `ucopyctl store check`.
struct StoreCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", _superCommandName: "ucopyctl store",
        abstract: "Read header and areas of a store, and print everything that is wrong with them.")

    @Flag(help: "Print a JSON object.")
    var json = false

    @Argument(help: "The store.", completion: .file())
    var device: String

    mutating func run() throws {
        let report = try StoreInspector.with(device) { try $0.check() }
        try StandardStreams.print(json ? JSONText.encode(StoreReportObject(report)) : StoreText.report(report))
        if !report.isLoadable { throw ExitStatus.failed }
    }
}

/// `ucopyctl store dump`.
struct StoreDumpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dump", _superCommandName: "ucopyctl store",
        abstract: "Print every exception of a store, a line each: area, slot, chunk of the origin, chunk of the store.")

    @Flag(help: "Print a JSON object on each line.")
    var json = false

    @Argument(help: "The store.", completion: .file())
    var device: String

    mutating func run() throws {
        let json = json
        try StoreInspector.with(device) { inspector in
            var text = ""
            var unprinted: Failure?
            try inspector.dump { (exception) throws(BlockError) in
                text += StoreText.exception(exception, json)
                guard text.utf8.count > 65536, unprinted == nil else { return }
                do throws(Failure) { try StandardStreams.print(text) } catch {
                    // Nobody reads any more: the rest need not be read either.
                    unprinted = error
                    throw BlockError("standard output", "write", .brokenPipe)
                }
                text = ""
            }
            if !text.isEmpty { try StandardStreams.print(text) }
        }
    }
}

/// `ucopyctl store repair`.
struct StoreRepairCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repair", _superCommandName: "ucopyctl store",
        abstract: "Take entries that cannot be meant off the end of a store, and nothing else.")

    @Flag(help: "Do it: without this option nothing is written.")
    var repair = false

    @Flag(help: "Print a JSON object.")
    var json = false

    @Argument(help: "The store.", completion: .file())
    var device: String

    mutating func validate() throws {
        guard repair else {
            throw ValidationError("a repair writes to the store: --repair says that it is meant; check writes nothing")
        }
    }

    mutating func run() throws {
        let done = try StoreInspector.with(device, isWritten: true) { try $0.repair() }
        try StandardStreams.print(json ? JSONText.encode(StoreRepairObject(done)) : StoreText.repair(done))
    }
}
