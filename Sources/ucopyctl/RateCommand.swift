import ArgumentParser
import ControlAPI
import KCopy

/// `ucopyctl rate`.
struct RateCommand: ParsableCommand {
    static let configuration = CommandConfiguration.verb(
        "rate", abstract: "Change how fast a running job may go.",
        discussion:
            "RATE is bytes per second (64M, 64MB), a share of the time (50%), or unlimited. It replaces both former limits."
    )

    @OptionGroup var connection: ConnectionOptions

    @Argument(help: "The job's number.", transform: { try jobNumber($0) })
    var job: Int

    @Argument(help: "The new rate.")
    var rate: String

    mutating func validate() throws {
        guard RateArgument.parse(rate) != nil else { throw ValidationError("'\(rate)': \(RateArgument.rule)") }
    }

    mutating func run() throws {
        let limit = RateArgument.parse(rate) ?? .unlimited
        let connection = try self.connection.connect()
        do throws(ControlError) {
            _ = try connection.call(
                CopyInterface.SetRate.self,
                CopyInterface.SetRate.Parameters(job: job, bytesPerSecond: limit.bytesPerSecond, percent: limit.percent)
            )
        } catch {
            throw Failure(error, "set the rate")
        }
    }
}
