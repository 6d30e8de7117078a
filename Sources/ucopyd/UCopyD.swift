public import ArgumentParser
public import BlockIO
import ControlAPI
public import Daemon
public import Logging
import SystemPackage

@main
struct UCopyD: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ucopyd", abstract: "Copies ranges of sectors between block devices for its clients.",
        version: Release.version)

    @Option(help: ArgumentHelp("Where the socket io.ucopyd goes.", valueName: "dir"))
    var runtimeDirectory = DaemonConfiguration().runtimeDirectory.string

    @Option(help: ArgumentHelp("How I/O is done: auto, uring or blocking.", valueName: "engine"))
    var engine = EngineChoice.auto

    @Option(help: ArgumentHelp("How many lanes share the work; by default what suits the machine.", valueName: "n"))
    var lanes: Int?

    @Option(
        help: ArgumentHelp(
            "The least important messages to log: trace, debug, info, notice, warning, error or critical.",
            valueName: "level"))
    var logLevel = Logger.Level.notice

    @Option(help: ArgumentHelp("What becomes of running jobs at the end: finish or cancel.", valueName: "policy"))
    var onStop = StopPolicy.cancel

    @Option(help: ArgumentHelp("Seconds after which jobs that were to finish are cancelled.", valueName: "seconds"))
    var stopTimeout = DaemonConfiguration().stopTimeout

    func validate() throws {
        if let lanes, !(1...64).contains(lanes) { throw ValidationError("--lanes \(lanes): 1 to 64 are possible") }
        guard (0...86_400).contains(stopTimeout) else {
            throw ValidationError("--stop-timeout \(stopTimeout): 0 to 86400 seconds are possible")
        }
        guard !runtimeDirectory.isEmpty else { throw ValidationError("--runtime-directory: it is empty") }
    }

    func run() async throws {
        ProcessLimits.prepare()
        var daemon = DaemonConfiguration()
        daemon.runtimeDirectory = FilePath(runtimeDirectory)
        daemon.engine = engine
        daemon.lanes = lanes
        daemon.stopPolicy = onStop
        daemon.stopTimeout = stopTimeout

        let level = logLevel
        let logger = Logger(label: "ucopyd") { StandardErrorLogHandler(label: $0, level: level) }
        do {
            try await CopyDaemon(daemon, logger: logger).runUntilSignalled()
            StandardErrorWriter.shared.flush()
        } catch {
            logger.critical("\(error)")
            StandardErrorWriter.shared.flush()
            throw ExitCode.failure
        }
    }
}

extension EngineChoice: ExpressibleByArgument {}
extension StopPolicy: ExpressibleByArgument {}
extension Logger.Level: @retroactive ExpressibleByArgument {}
