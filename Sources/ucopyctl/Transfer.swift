import BlockIO
import Glibc
import KCopy

/// One copy or zeroing from the command line to its end.
struct Transfer {
    /// "copy" or "zero".
    var verb: String
    var options: TransferOptions
    /// What the verb's own options ask for.
    var flags: CopyFlags

    /// Opens the devices, runs the job, tells of it.
    /// - Throws: why there is no job; how the program ends, after everything was told.
    func run(source: String?, destinations: [String]) throws {
        let exists = { (path: String) in access(path, F_OK) == 0 }
        let plan = try TransferPlan(
            source: try source.map { try RegionArgument($0, exists: exists) },
            destinations: try destinations.map { try RegionArgument($0, exists: exists) },
            force: options.force, readBack: flags.contains(.verify))
        guard plan.sectors > 0 else {
            let object = (plan.source ?? plan.destinations.first)?.device.path ?? verb
            throw Failure(object, verb, "there is nothing to \(verb): the region has no sectors")
        }
        let order = JobOrder(
            verb: verb, plan: plan, flags: allFlags, rate: options.rate, priority: options.priority,
            pages: options.pages ?? plan.usefulPages(most: TransferOptions.defaultPages),
            force: options.force)
        if options.detach { return try detach(order) }

        let mailbox = Mailbox()
        let interrupts = Interrupts(mailbox)
        var progress = ProgressReporter(
            total: plan.sectors << UInt64(Sector.shift), bar: !options.quiet, descriptor: options.progress)
        let job: any RunningJob =
            options.local
            ? try LocalJob(order, engine: options.engine ?? .auto, mailbox)
            : try DaemonJob(order, options.connection, watched: progress.isWanted, mailbox)
        let (report, isInterrupted) = try withExtendedLifetime(interrupts) { try follow(job, mailbox, &progress) }
        job.end()
        try conclude(
            ReportText(
                verb: verb,
                options: ResumeCommand.options(
                    of: Array(CommandLine.arguments.dropFirst()),
                    without: [source].compactMap { $0 } + destinations),
                source: plan.source.map(RegionArgument.init),
                destinations: plan.destinations.map(RegionArgument.init), report: report),
            isInterrupted: isInterrupted)
    }

    private var allFlags: CopyFlags {
        var flags = self.flags.union(.flush)
        if options.ignoreErrors { flags.insert(.ignoreErrors) }
        if options.sequential { flags.insert(.sequential) }
        return flags
    }

    private func detach(_ order: JobOrder) throws {
        let connection = try options.connection.connect()
        let job = try DaemonJob.submit(order, to: connection, keep: true)
        try StandardStreams.print(options.json ? JSONText.encode(["job": job]) : "\(job)")
    }

    /// Waits for the job's end, passing progress on and interrupts to it.
    private func follow(_ job: any RunningJob, _ mailbox: Mailbox, _ progress: inout ProgressReporter) throws(Failure)
        -> (report: JobReport, isInterrupted: Bool)
    {
        var isCancelling = false
        while true {
            switch mailbox.next(within: progress.isWanted ? ProgressReporter.interval : nil) {
            case nil:
                if let done = job.bytesDone { progress.update(done: done) }
            case .progress(let done):
                progress.update(done: done)
            case .interrupted:
                if !isCancelling { job.cancel() }
                isCancelling = true
            case .lost(let failure):
                progress.clear()
                throw failure
            case .ended(let report):
                let isWhole = !report.hasErrors && !report.cancelled
                progress.finish(done: isWhole ? report.totalBytes : job.bytesDone ?? report.bytes)
                return (report, isCancelling)
            }
        }
    }

    /// Tells how the job ended.
    /// - Throws: the exit status, unless everything was done.
    private func conclude(_ text: ReportText, isInterrupted: Bool) throws {
        let report = text.report
        let status = self.status(report, isInterrupted: isInterrupted)
        for line in text.faults { StandardStreams.note(line) }
        switch status {
        case .interrupted, .failed: StandardStreams.note(text.stop)
        default: if !options.quiet { StandardStreams.note(text.summary) }
        }
        if options.json { try StandardStreams.print(JSONText.encode(ReportObject(text))) }
        if status != .done { throw status }
    }

    private func status(_ report: JobReport, isInterrupted: Bool) -> ExitStatus {
        // Somebody else may have cancelled it: then it has failed.
        if report.cancelled { return isInterrupted ? .interrupted : .failed }
        guard report.hasErrors else { return .done }
        // A sequential job stops at its first error, whatever else was asked for.
        return options.ignoreErrors && !options.sequential ? .incomplete : .failed
    }
}
