import ArgumentParser
import ControlAPI
import Glibc

/// `ucopyctl jobs`.
struct JobsCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "jobs", abstract: "List the daemon's jobs: everybody's for root, their own for others.")

    @Flag(help: "Print a JSON array.")
    var json = false

    @Flag(help: "Print the list again every second, until interrupted.")
    var watch = false

    @OptionGroup var connection: ConnectionOptions

    mutating func run() throws {
        let connection = try self.connection.connect()
        let clears = watch && !json && isatty(STDOUT_FILENO) == 1
        while true {
            let jobs = try list(connection)
            let text = json ? try JSONText.encode(jobs) : JobTable.render(jobs)
            // Home, the table, then nothing below it.
            try StandardStreams.print(clears ? "\u{1B}[H\u{1B}[2J" + text : text)
            guard watch else { return }
            sleep(1)
        }
    }

    private func list(_ connection: ControlConnection) throws(Failure) -> [CopyInterface.Job] {
        do throws(ControlError) {
            return try connection.call(CopyInterface.List.self, CopyInterface.Empty()).jobs
        } catch {
            throw Failure(error, "list the jobs")
        }
    }
}
