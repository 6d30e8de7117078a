import ArgumentParser
import ControlAPI

/// `ucopyctl cancel`.
struct CancelCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "cancel", abstract: "Stop jobs, and wait until they have stopped.")

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: ArgumentHelp("The jobs' numbers.", valueName: "job"), transform: { try jobNumber($0) })
    var jobs: [Int]

    mutating func run() throws {
        let connection = try self.connection.connect()
        var failed = false
        for job in jobs {
            switch Self.cancel(job, connection) {
            case .success(let job): try StandardStreams.print(Self.describe(job))
            case .failure(let failure):
                StandardStreams.report(failure)
                failed = true
            }
        }
        if failed { throw ExitStatus.failed }
    }

    private static func cancel(_ job: Int, _ connection: ControlConnection) -> Result<CopyInterface.Job, Failure> {
        do throws(ControlError) {
            return .success(try connection.call(CopyInterface.Cancel.self, CopyInterface.JobReply(job: job)).job)
        } catch {
            return .failure(Failure(error, "cancel"))
        }
    }

    /// What became of a job: one that ended before is not called cancelled.
    private static func describe(_ job: CopyInterface.Job) -> String {
        let amount = "\(Human.size(job.copiedBytes)) of \(Human.size(job.totalBytes))"
        let resume = job.state == .cancelled ? ", resume at sector \(job.resumeAt) of the region" : ""
        return "job \(job.job): \(job.state.rawValue): \(amount)\(resume)"
    }
}

/// Reads a job's number.
func jobNumber(_ text: String) throws -> Int {
    guard let job = Int(text), job >= 0 else {
        throw ValidationError("a job is named by its number (see ucopyctl jobs)")
    }
    return job
}
