import ArgumentParser
import ControlAPI
import Glibc

/// The program: its verbs, and how anything that goes wrong becomes a line on standard error and an
/// exit status.
enum Program {
    /// Runs one command line (without the program's name) and returns the exit status.
    static func run(_ arguments: [String]) -> Int32 {
        StandardStreams.prepare()
        do {
            var command = try parse(arguments)
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

    /// Reads the command line.
    ///
    /// A line that begins with a verb is given to that verb alone, which takes a third of the time: small copies are over
    /// in less. Whatever that does not accept (help, completion scripts, misuse) goes the whole way, which words it.
    private static func parse(_ arguments: [String]) throws -> any ParsableCommand {
        if let word = arguments.first, let verb = Root.verb(word),
            let command = try? verb.parseAsRoot(Array(arguments.dropFirst()))
        {
            return command
        }
        return try Root.parseAsRoot(arguments)
    }

    /// The word in the verb's place, if no verb has that name. Only `--socket` may stand before a verb.
    private static func unknownVerb(_ arguments: [String]) -> String? {
        var words = arguments[...]
        while let word = words.first, word.hasPrefix("--socket") {
            words = words.dropFirst(word == "--socket" ? 2 : 1)
        }
        guard let word = words.first, !word.hasPrefix("-"), word != "help" else { return nil }
        return Root.verb(word) == nil ? word : nil
    }

    /// Ends what the parser ended: help and completion scripts on standard output, misuse in one
    /// line on standard error.
    private static func finish(_ error: any Error, _ arguments: [String]) -> Int32 {
        if let word = unknownVerb(arguments), !Root.exitCode(for: error).isSuccess {
            StandardStreams.report(
                Failure(
                    "command line", "usage", "unknown verb '\(word)': one of \(Root.verbNames) (see ucopyctl --help)",
                    status: .usage))
            return ExitStatus.usage.rawValue
        }
        let verb = arguments.first { Root.verb($0) != nil }
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
    static let versionText = "ucopyctl \(Release.version)"

    static let verbs: [any ParsableCommand.Type] = [
        CopyCommand.self, ZeroCommand.self, JobsCommand.self, CancelCommand.self, RateCommand.self,
        CreateCommand.self, RemoveCommand.self, SuspendCommand.self, ResumeDeviceCommand.self, ReloadCommand.self,
        ClearCommand.self, RenameCommand.self, MessageCommand.self, StatusCommand.self, TableCommand.self,
        InfoCommand.self, LsCommand.self, TargetsCommand.self, DepsCommand.self, WaitCommand.self, EventsCommand.self,
        StoreCommand.self, VersionCommand.self, CallCommand.self, IntrospectCommand.self,
    ]

    /// The verb of this name.
    static func verb(_ word: String) -> (any ParsableCommand.Type)? {
        verbs.first { $0.configuration.commandName == word || $0.configuration.aliases.contains(word) }
    }

    /// What there is to choose from.
    static var verbNames: String { verbs.map { $0._commandName }.joined(separator: ", ") }

    static let configuration = CommandConfiguration(
        commandName: "ucopyctl",
        abstract: "Copies between block devices, serves mapped ones, and commands the daemon that does it.",
        version: versionText,
        subcommands: verbs)

    @OptionGroup var connection: ConnectionOptions

    mutating func run() throws {
        throw ValidationError("Missing verb: one of \(Root.verbNames)")
    }
}

extension CommandConfiguration {
    /// What a verb is. Naming the command above it spares each run a search for requests of completion scripts, which are
    /// that command's.
    static func verb(
        _ name: String, abstract: String, discussion: String = "",
        subcommands: [any ParsableCommand.Type] = [], aliases: [String] = []
    ) -> CommandConfiguration {
        CommandConfiguration(
            commandName: name, _superCommandName: "ucopyctl", abstract: abstract, discussion: discussion,
            version: Root.versionText, subcommands: subcommands, aliases: aliases)
    }
}
