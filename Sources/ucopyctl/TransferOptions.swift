import ArgumentParser
import BlockIO
import ControlAPI
import Glibc
import KCopy

/// The options that copying and zeroing share.
struct TransferOptions: ParsableArguments {
    /// 8 MiB: with less, fast devices lose a tenth; with more, they gain nothing.
    static let defaultPages = 2048

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Budget in pages of 4 KiB (default: what the job can use, at most \(defaultPages)).", valueName: "n"),
        transform: { try Self.pages($0) })
    var pages: Int?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "At most so many bytes per second (64M), or so much of the time (50%), or unlimited.", valueName: "rate"),
        transform: { try Self.rate($0) })
    var rate: CopyRate = .unlimited

    @Flag(help: "Go on after errors; exit with 3 if there were any.")
    var ignoreErrors = false

    @Flag(help: "Write strictly in ascending order; stop at the first error.")
    var sequential = false

    @Flag(help: "Take destinations that are mounted or held by another program.")
    var force = false

    @Flag(help: "Do the work in this process, without the daemon.")
    var local = false

    @Option(
        help: ArgumentHelp("With --local: auto, uring or blocking.", valueName: "engine"),
        transform: { try Self.engine($0) })
    var engine: EngineChoice?

    @Option(
        help: ArgumentHelp("Whose work goes first: copyOnWrite, resync or scrub.", valueName: "priority"),
        transform: { try Self.priority($0) })
    var priority: CopyInterface.Priority = .resync

    @Flag(help: "Print the job's number and leave it to the daemon.")
    var detach = false

    @Flag(help: "End with one JSON object on standard output.")
    var json = false

    @Option(
        help: ArgumentHelp("Write done/total lines, in bytes, to this file descriptor.", valueName: "fd"),
        transform: { try Self.descriptor($0) })
    var progress: Int32?

    @Flag(help: "Show neither progress nor summary.")
    var quiet = false

    @OptionGroup var connection: ConnectionOptions

    mutating func validate() throws {
        if engine != nil, !local { throw ValidationError("--engine chooses this process's engine: it needs --local") }
        if detach, local { throw ValidationError("--detach leaves a job to the daemon: it excludes --local") }
        if detach, progress != nil { throw ValidationError("--detach does not wait: it excludes --progress") }
    }

    private static func pages(_ text: String) throws -> Int {
        guard let pages = Int(text), (1...CopyClient.mostPages).contains(pages) else {
            throw ValidationError("a budget is 1 to \(CopyClient.mostPages) pages of 4 KiB")
        }
        return pages
    }

    private static func rate(_ text: String) throws -> CopyRate {
        guard let rate = RateArgument.parse(text) else { throw ValidationError(RateArgument.rule) }
        return rate
    }

    private static func engine(_ text: String) throws -> EngineChoice {
        guard let engine = EngineChoice(rawValue: text) else {
            throw ValidationError(
                "an engine is one of \(EngineChoice.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return engine
    }

    private static func priority(_ text: String) throws -> CopyInterface.Priority {
        guard let priority = CopyInterface.Priority(rawValue: text) else {
            throw ValidationError(
                "a priority is one of \(CopyInterface.Priority.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return priority
    }

    private static func descriptor(_ text: String) throws -> Int32 {
        guard let descriptor = Int32(text), descriptor >= 0 else {
            throw ValidationError("a file descriptor is a number from 0 on")
        }
        let flags = fcntl(descriptor, F_GETFL)
        guard flags >= 0, flags & O_ACCMODE != O_RDONLY else {
            throw ValidationError("file descriptor \(descriptor) is not open for writing")
        }
        return descriptor
    }
}

/// How many destinations one job can have.
let destinationLimit = 8

/// Refuses what no job can have.
func requireDestinations(_ count: Int) throws {
    guard (1...destinationLimit).contains(count) else {
        throw ValidationError("a job has 1 to \(destinationLimit) destinations, not \(count)")
    }
}
