import BlockIO
import ControlAPI
import KCopy

/// What a job's end looks like to people: a summary, its errors, and where to go on.
struct ReportText {
    /// "copy" or "zero".
    var verb: String
    /// The command line without the program's name and without its regions; empty where nobody typed one.
    var options: [String] = []
    /// The source's region, if there is one; sector and count are set.
    var source: RegionArgument?
    /// The destinations' regions; sector and count are set.
    var destinations: [RegionArgument]
    /// How it ended.
    var report: JobReport

    /// `copied 2.0 GiB to 2 destinations in 0.55 s (3.6 GiB/s)`.
    var summary: String {
        let amount = Human.size(report.bytes) + (report.hasErrors ? " of \(Human.size(report.totalBytes))" : "")
        let done =
            verb == "zero"
            ? "zeroed \(amount) on" : "copied \(amount) to"
        let rate = report.seconds > 0 ? " (\(Human.rate(Double(report.bytes) / report.seconds)))" : ""
        return "\(done) \(Human.plural(destinations.count, "destination")) in \(Human.duration(report.seconds))\(rate)"
    }

    /// One line for every error that is known, and for every side with errors of which none is.
    var faults: [String] {
        var lines = report.faults.map { line($0) }
        let told = Set(report.faults.map { $0.destination ?? -1 })
        if report.readError, !told.contains(-1), let source {
            lines.append("ucopyctl: \(source.path): read: errors on some of its sectors")
        }
        for (index, failed) in report.writeErrors.enumerated() where failed && !told.contains(index) {
            lines.append("ucopyctl: \(path(of: index)): write: errors on some of its sectors")
        }
        if report.faults.count >= CopyResult.mostFaults {
            lines.append(
                "ucopyctl: \(subject): \(verb): there may be more errors: the first \(report.faults.count) are kept")
        }
        return lines
    }

    /// How far a job that did not get to its end got, and how to go on.
    var stop: String {
        let percent = Human.percent(report.bytes, of: report.totalBytes)
        let words = (["ucopyctl"] + (options.isEmpty ? [verb] : options) + resume).map(shellWord).joined(separator: " ")
        return
            "ucopyctl: \(subject): \(verb): \(report.cancelled ? "cancelled" : "stopped"): \(report.bytes) of \(report.totalBytes) bytes (\(percent)%) "
            + (verb == "zero" ? "zeroed" : "copied") + "; resume at sector \(report.resumeAt) of the region: \(words)"
    }

    /// The regions that are left, as arguments: everything from the first sector that may be missing.
    var resume: [String] {
        let rest = { (region: RegionArgument, count: Bool) in
            RegionArgument(
                path: region.path, sector: (region.sector ?? 0) + report.resumeAt,
                count: count ? region.count.map { $0 - min(report.resumeAt, $0) } : nil
            ).description
        }
        return [source].compactMap { $0 }.map { rest($0, true) } + destinations.map { rest($0, source == nil) }
    }

    private var subject: String { source?.path ?? destinations.first?.path ?? verb }

    private func path(of destination: Int) -> String {
        destinations.indices.contains(destination) ? destinations[destination].path : "destination \(destination)"
    }

    /// `ucopyctl: /dev/loop3: write at sector 1024+1024: No space left on device`; the sector is the
    /// device's own.
    private func line(_ fault: CopyInterface.Fault) -> String {
        let region = fault.destination.map { destinations.indices.contains($0) ? destinations[$0] : nil } ?? source
        let object = fault.destination.map(path(of:)) ?? subject
        let operation =
            if fault.destination == nil {
                "read"
            } else if FaultReason.isDifference(fault.errno) {
                "verify"
            } else {
                verb == "zero" ? "zero" : "write"
            }
        let sector = (region?.sector ?? 0) + fault.sector
        return
            "ucopyctl: \(object): \(operation) at sector \(sector)+\(fault.count): \(FaultReason.describe(fault.errno))"
    }
}

/// The object that `--json` ends with.
struct ReportObject: Encodable {
    var bytes: UInt64
    var totalBytes: UInt64
    var seconds: Double
    var readError: Bool
    var writeErrors: [Bool]
    var cancelled: Bool
    var resumeAt: UInt64
    var faults: [CopyInterface.Fault]
    /// The regions to go on with; missing where nothing is left.
    var resume: [String]?

    init(_ text: ReportText) {
        let report = text.report
        bytes = report.bytes
        totalBytes = report.totalBytes
        seconds = report.seconds
        readError = report.readError
        writeErrors = report.writeErrors
        cancelled = report.cancelled
        resumeAt = report.resumeAt
        faults = report.faults
        let isWhole = report.resumeAt << UInt64(Sector.shift) >= report.totalBytes
        resume = isWhole ? nil : text.resume
    }
}
