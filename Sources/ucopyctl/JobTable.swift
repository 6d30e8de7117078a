import ControlAPI
import KCopy

/// The table that `jobs` prints.
enum JobTable {
    private static let head = ["JOB", "STATE", "DONE", "TOTAL", "%", "RATE", "LIMIT", "SOURCE", "DESTINATIONS"]
    /// The columns that end flush, because they hold numbers.
    private static let numbers: Set<Int> = [0, 2, 3, 4, 5]

    /// A line of headings and one line for each job; the last column is not padded.
    static func render(_ jobs: [CopyInterface.Job]) -> String {
        let rows = [head] + jobs.map(row)
        let widths = head.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            row.indices.map { column in
                let cell = row[column]
                let space = String(repeating: " ", count: widths[column] - cell.count)
                if numbers.contains(column) { return space + cell }
                return column == row.count - 1 ? cell : cell + space
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }

    private static func row(_ job: CopyInterface.Job) -> [String] {
        let rate = CopyRate(bytesPerSecond: job.bytesPerSecond, percent: job.percent)
        return [
            "\(job.job)", job.state.rawValue, Human.size(job.bytes), Human.size(job.totalBytes),
            "\(Human.percent(job.bytes, of: job.totalBytes))%",
            job.seconds > 0 ? Human.rate(Double(job.bytes) / job.seconds) : "-",
            RateArgument.describe(rate), StandardStreams.visible(job.source ?? "-"),
            StandardStreams.visible(job.destinations.joined(separator: ",")),
        ]
    }
}
