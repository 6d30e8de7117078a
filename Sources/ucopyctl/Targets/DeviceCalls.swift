import ArgumentParser
import ControlAPI

/// The calls of one verb on one connection, and what becomes of those that fail.
struct DeviceCalls {
    /// For calls that have no types here.
    let connection: ControlConnection
    /// What the user asked for, as errors name it.
    private let operation: String

    init(_ options: ConnectionOptions, _ operation: String) throws(Failure) {
        connection = try options.connect()
        self.operation = operation
    }

    /// Calls a method.
    /// - Throws: what the daemon says of it, in the words of the verb.
    func call<Method: ControlMethod>(
        _ method: Method.Type, _ parameters: Method.Parameters
    ) throws(Failure) -> Method.Reply {
        do throws(ControlError) {
            return try connection.call(method, parameters)
        } catch {
            throw Failure(error, operation)
        }
    }

    /// Does something for every name, and goes on after those that fail.
    /// - Throws: the exit status, after every failure was told.
    static func each(_ names: [String], _ body: (String) throws -> Void) throws {
        var failed = false
        for name in names {
            do {
                try body(name)
            } catch let failure as Failure {
                StandardStreams.report(failure)
                failed = true
            }
        }
        if failed { throw ExitStatus.failed }
    }

    /// What a query answers for the devices that are named, for all where none is; nothing for those that fail.
    /// - Throws: the exit status, after everything that could be had was given to `show`.
    static func query<Answer>(
        _ names: [String], _ ask: (String?) throws(Failure) -> [Answer], show: ([Answer]) throws -> Void
    ) throws {
        var answers: [Answer] = []
        var failed: (any Error)?
        if names.isEmpty {
            answers = try ask(nil)
        } else {
            do { try each(names) { answers += try ask($0) } } catch { failed = error }
        }
        if !answers.isEmpty || failed == nil { try show(answers) }
        if let failed { throw failed }
    }
}

/// Which devices are meant.
struct DeviceArguments: ParsableArguments {
    @Argument(help: ArgumentHelp("The devices, by name or uuid.", valueName: "name"))
    var names: [String]
}

/// Which devices are meant, if not all.
struct OptionalDeviceArguments: ParsableArguments {
    @Argument(help: ArgumentHelp("The devices, by name or uuid; all where none is named.", valueName: "name"))
    var names: [String] = []
}

/// What suspending and resuming take.
struct FlushOptions: ParsableArguments {
    @Flag(help: "Let targets give back what they hold for long.")
    var noflush = false

    @Flag(help: "Do not freeze a file system: there is none to freeze here in any case.")
    var nolockfs = false
}
