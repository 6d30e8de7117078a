import Foundation
import Glibc
import TestSupport
import Testing

/// A program that was run to its end.
struct Command {
    /// The exit status; 124 where it had to be stopped.
    let status: Int32
    /// What it wrote to standard output and standard error.
    let output: String

    /// Runs a program, for three minutes at most: a hang is a failure.
    static func run(_ arguments: [String], environment: [String: String] = [:]) throws -> Command {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/timeout")
        process.arguments = ["--kill-after=5", "180"] + arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let pipe = Pipe()
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = pipe
        process.standardError = pipe
        try process.runUnmasked()
        let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return Command(status: process.terminationStatus, output: String(decoding: output, as: UTF8.self))
    }

    /// Runs a program that has to succeed.
    @discardableResult
    static func succeed(
        _ arguments: [String], environment: [String: String] = [:], at location: SourceLocation = #_sourceLocation
    ) throws -> String {
        let command = try run(arguments, environment: environment)
        try #require(
            command.status == 0, "\(arguments.joined(separator: " ")): status \(command.status): \(command.output)",
            sourceLocation: location)
        return command.output
    }
}

extension Process {
    /// Runs a program that takes all signals. Tests run on Dispatch's threads, which block most of them, and a program
    /// inherits what the thread that starts it blocks: timeout(1) would miss the end of its child.
    func runUnmasked() throws {
        var none = sigset_t()
        var previous = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &previous)
        defer { pthread_sigmask(SIG_SETMASK, &previous, nil) }
        // In this process other tests expect claims on devices to be gone as soon as these are closed.
        try Program.quietly { try run() }
    }
}
