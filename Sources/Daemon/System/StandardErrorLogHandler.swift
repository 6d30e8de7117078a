import Dispatch
import Glibc
public import Logging
import Synchronization

/// Writes log lines to standard error, one write(2) a line.
///
/// Where standard error goes to the journal each line begins with its priority as sd-daemon(3) has it. Lines are written by a
/// queue of their own, so that a reader who does not read delays nobody; when too many wait, lines are dropped and counted.
public struct StandardErrorLogHandler: LogHandler {
    /// The level below which nothing is written.
    public var logLevel: Logger.Level
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let hasPriorities: Bool

    /// A handler for one program.
    /// - Parameters:
    ///   - label: what lines begin with; the program's name.
    ///   - level: the level below which nothing is written.
    public init(label: String, level: Logger.Level) {
        self.label = label
        logLevel = level
        hasPriorities = Self.isJournal()
    }

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        var all = metadata.merging(metadataProvider?.get() ?? [:]) { $1 }
        all.merge(event.metadata ?? [:]) { $1 }
        let details = all.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        let text = "\(event.level): \(event.message)\(details)"
        let prefix = hasPriorities ? "<\(event.level.priority)>" : ""
        StandardErrorWriter.shared.write("\(prefix)\(label): \(Self.oneLine(text))\n")
    }

    /// Peers choose names: none of them makes a line of its own, or speaks to a terminal.
    private static func oneLine(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return text }
        return String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 }))
    }

    /// Whether standard error is the stream that JOURNAL_STREAM names by device and inode.
    private static func isJournal() -> Bool {
        var status = stat()
        guard let value = getenv("JOURNAL_STREAM"), fstat(STDERR_FILENO, &status) == 0 else { return false }
        return String(cString: value) == "\(status.st_dev):\(status.st_ino)"
    }
}

extension Logger.Level {
    /// syslog(3)'s number.
    fileprivate var priority: Int {
        switch self {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }
}

/// The queue in front of standard error.
public final class StandardErrorWriter: Sendable {
    /// There is one standard error.
    public static let shared = StandardErrorWriter()

    private static let mostWaiting = 1000
    private let queue = DispatchQueue(label: "log")
    private let waiting = Atomic<Int>(0)
    private let dropped = Atomic<Int>(0)

    fileprivate func write(_ line: String) {
        guard waiting.add(1, ordering: .relaxed).newValue <= Self.mostWaiting else {
            waiting.subtract(1, ordering: .relaxed)
            dropped.add(1, ordering: .relaxed)
            return
        }
        queue.async { [self] in
            let lost = dropped.exchange(0, ordering: .relaxed)
            if lost > 0 { Self.put("\(lost) log lines were dropped\n") }
            Self.put(line)
            waiting.subtract(1, ordering: .relaxed)
        }
    }

    /// Returns when everything logged so far is written.
    public func flush() {
        queue.sync {}
    }

    private static func put(_ line: String) {
        var rest = Array(line.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
            // A log that cannot be written can be told to nobody.
            if count < 0 && errno != EINTR { return }
            rest = rest.dropFirst(max(count, 0))
        }
    }
}
