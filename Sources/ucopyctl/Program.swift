import ArgumentParser
import Glibc

/// The program: its verbs, and how anything that goes wrong becomes a line on standard error and an
/// exit status.
enum Program {
    /// This program's version.
    static let version = "0.1.0"

    /// Runs one command line (without the program's name) and returns the exit status.
    static func run(_ arguments: [String]) -> Int32 {
        StandardStreams.prepare()
        do {
            var command = try Root.parseAsRoot(arguments)
            try command.run()
            return ExitStatus.done.rawValue
        } catch let failure as Failure {
            StandardStreams.report(failure)
            return failure.status.rawValue
        } catch let exit as ExitStatus {
            return exit.rawValue
        } catch {
            return finish(error, arguments)
        }
    }

    /// Ends what the parser ended: help and completion scripts on standard output, misuse in one
    /// line on standard error.
    private static func finish(_ error: any Error, _ arguments: [String]) -> Int32 {
        let verb = arguments.first { argument in Root.verbs.contains { $0._commandName == argument } }
        guard !Root.exitCode(for: error).isSuccess else {
            do {
                try StandardStreams.print(Root.fullMessage(for: error))
                return ExitStatus.done.rawValue
            } catch {
                StandardStreams.report(error)
                return error.status.rawValue
            }
        }
        let message = Root.message(for: error).split(whereSeparator: \.isNewline).joined(separator: " ")
        let help = (["ucopyctl"] + [verb].compactMap { $0 } + ["--help"]).joined(separator: " ")
        StandardStreams.report(
            Failure(verb ?? "command line", "usage", "\(message) (see \(help))", status: .usage))
        return ExitStatus.usage.rawValue
    }
}

/// The command without a verb.
struct Root: ParsableCommand {
    static let verbs: [any ParsableCommand.Type] = [
        CopyCommand.self, ZeroCommand.self, JobsCommand.self, CancelCommand.self, RateCommand.self,
        VersionCommand.self, CallCommand.self, IntrospectCommand.self,
    ]

    static let configuration = CommandConfiguration(
        commandName: "ucopyctl",
        abstract: "Copies between block devices, and commands the copy daemon.",
        version: "ucopyctl \(Program.version)",
        subcommands: verbs)

    @OptionGroup var connection: ConnectionOptions

    mutating func run() throws {
        throw ValidationError("Missing verb: one of \(Root.verbs.map { $0._commandName }.joined(separator: ", "))")
    }
}
