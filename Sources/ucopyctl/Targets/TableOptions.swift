import ArgumentParser
import ControlAPI
import Glibc
import SystemPackage

/// What a table is, and how its targets are to be made.
struct TableOptions: ParsableArguments {
    /// What one message to the daemon has room for, with something to spare for the rest of it.
    private static let longest = 192 * 1024

    @Option(help: ArgumentHelp("The table: one line, or several.", valueName: "line"))
    var table: String?

    @Flag(name: [.customShort("r"), .long], help: "Refuse writes.")
    var readonly = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Budget of the targets' copies in pages of 4 KiB.", valueName: "n"),
        transform: { try Self.pages($0) })
    var pages: Int?

    @Option(
        help: ArgumentHelp(
            "When a snapshot's store is full: invalidate (the default), hold or detach.", valueName: "policy"),
        transform: { try Self.overflow($0) })
    var overflow: TargetInterface.Overflow?

    /// The table's text: the one given, else a file's, else standard input's.
    func text(file: String?) throws(Failure) -> String {
        let text: String
        if let table {
            text = table
        } else if let file {
            text = try Self.read(file)
        } else {
            text = try Self.read(FileDescriptor(rawValue: STDIN_FILENO), "standard input")
        }
        guard text.utf8.count <= Self.longest else {
            throw Failure("table", "read", "it is longer than \(Self.longest) bytes")
        }
        return text
    }

    private static func read(_ path: String) throws(Failure) -> String {
        let file: FileDescriptor
        do {
            file = try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
        } catch {
            throw Failure(path, "open", (error as? Errno)?.description ?? "\(error)")
        }
        // Nothing was written through it that close(2) could report.
        defer { try? file.close() }
        return try read(file, path)
    }

    private static func read(_ file: FileDescriptor, _ name: String) throws(Failure) -> String {
        var all: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16384)
        do {
            while all.count <= longest {
                let count = try piece.withUnsafeMutableBytes { try file.read(into: $0) }
                if count == 0 { break }
                all += piece[..<count]
            }
        } catch {
            throw Failure(name, "read", (error as? Errno)?.description ?? "\(error)")
        }
        return String(decoding: all, as: UTF8.self)
    }

    private static func pages(_ text: String) throws -> Int {
        guard let pages = Int(text), pages > 0 else { throw ValidationError("a budget is 1 page of 4 KiB or more") }
        return pages
    }

    private static func overflow(_ text: String) throws -> TargetInterface.Overflow {
        guard let policy = TargetInterface.Overflow(rawValue: text) else {
            let all = TargetInterface.Overflow.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("a policy is one of \(all)")
        }
        return policy
    }
}
