import BlockIO
import SystemPackage

/// Makes tables out of text: reads it, opens the devices it names, and constructs the targets. Where anything fails,
/// everything is given back, and the error says which line and word it comes from.
public struct TableLoader: Sendable {
    private let registry: TargetRegistry
    private let pool: DevicePool
    private let host: ThreadBound<TargetHost>

    /// For tables of devices that belong to the thread of `host`.
    public init(registry: TargetRegistry, pool: DevicePool, host: ThreadBound<TargetHost>) {
        self.registry = registry
        self.pool = pool
        self.host = host
    }

    /// Makes a table, to be loaded into a mapped device of the same thread, or destroyed.
    public func load(
        _ text: String, options: TargetOptions = TargetOptions()
    ) async throws(TargetError) -> ThreadBound<LoadedTable> {
        try await load(try TargetTable(parsing: text), options: options)
    }

    /// Makes a table of one that has been read.
    public func load(
        _ table: TargetTable, options: TargetOptions = TargetOptions()
    ) async throws(TargetError) -> ThreadBound<LoadedTable> {
        let plans = try registry.parse(table)
        var steps: [TableConstruction.Step] = []
        for (line, plan) in zip(table.lines, plans) {
            do {
                steps.append(.init(line: line, plan: plan, devices: try await open(line, plan, options)))
            } catch {
                for step in steps { step.release() }
                throw error
            }
        }
        let made = steps
        let result: Result<ThreadBound<LoadedTable>, TargetError> = await withCheckedContinuation { continuation in
            host.post { [thread = host.thread] host in
                TableConstruction(made, options, host, thread).run { result in
                    continuation.resume(returning: result.map { ThreadBound($0, to: thread) })
                }
            }
        }
        return try result.get()
    }

    private func open(
        _ line: TableLine, _ plan: any TargetPlan, _ options: TargetOptions
    ) async throws(TargetError) -> [PooledDevice] {
        var opened: [PooledDevice] = []
        for device in plan.devices {
            let isWritten = device.isWritten && !(options.isReadOnly && device.followsTable)
            guard device.path.hasPrefix("/") || DeviceNumber(device.path) != nil else {
                for device in opened { device.release() }
                throw line.fault(
                    word: line.words.firstIndex(of: device.path),
                    "a device is MAJOR:MINOR or a path that begins with /: the daemon has a working directory of its own",
                    operation: "open")
            }
            do {
                opened.append(try await pool.open(device.path, isWritten: isWritten))
            } catch {
                for device in opened { device.release() }
                let word = line.words.firstIndex(of: device.path)
                let reason = error.operation == "open" ? error.reason : "\(error.operation): \(error.reason)"
                throw line.fault(word: word, reason, operation: "open", errno: error.errno)
            }
        }
        return opened
    }
}

/// Constructs the targets of a table one after the other, as the kernel does. Belongs to the queue thread.
final class TableConstruction {
    /// A line, understood, with its devices open.
    struct Step: Sendable {
        var line: TableLine
        var plan: any TargetPlan
        var devices: [PooledDevice]

        func release() { for device in devices { device.release() } }
    }

    private var steps: ArraySlice<Step>
    private let options: TargetOptions
    private let host: TargetHost
    private let thread: QueueThread
    private var segments: [LoadedTable.Segment] = []
    /// Whether a target has yet to say whether it could be made.
    private var isWaiting = false
    private var isRunning = false
    private var failure: TargetError?

    init(_ steps: [Step], _ options: TargetOptions, _ host: TargetHost, _ thread: QueueThread) {
        self.steps = steps[...]
        self.options = options
        self.host = host
        self.thread = thread
    }

    /// - Parameter done: called once, with a table, or with an error when everything has been given back.
    func run(_ done: @escaping (Result<LoadedTable, TargetError>) -> Void) {
        isRunning = true
        while !isWaiting, failure == nil, let step = steps.popFirst() {
            isWaiting = true
            let devices = step.devices.map { ThreadDevice($0, thread: thread) }
            step.plan.construct(devices, options: options, host: host) { [self] result in
                precondition(isWaiting, "the target of table line \(step.line.number) was made twice")
                isWaiting = false
                take(result, step.line)
                if !isRunning { run(done) }
            }
        }
        isRunning = false
        if !isWaiting { finish(done) }
    }

    private func take(_ result: Result<any Target, TargetError>, _ line: TableLine) {
        switch result {
        case .success(let target): segments.append(LoadedTable.Segment(range: line.range, target: target))
        case .failure(var error):
            let place = "table line \(line.number)"
            if !error.object.hasPrefix(place) { error.object = "\(place), \(error.object)" }
            failure = error
        }
    }

    private func finish(_ done: @escaping (Result<LoadedTable, TargetError>) -> Void) {
        var failure = failure
        if failure == nil {
            do throws(TargetError) {
                return done(.success(try LoadedTable(segments, isReadOnly: options.isReadOnly)))
            } catch {
                failure = error
            }
        }
        guard let failure else { return }
        for step in steps { step.release() }
        let ended = Countdown(segments.count) { done(.failure(failure)) }
        for segment in segments { segment.target.destroy { ended.one() } }
    }
}
