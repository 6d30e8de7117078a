import BlockIO

/// What the targets of one queue thread share.
public final class TargetHost {
    /// The thread.
    public let environment: any TargetEnvironment
    /// Which snapshots each origin has.
    let origins = OriginRegistry()
    /// Zeroes to write, 256 KiB; nil where the system has no memory for them.
    private(set) lazy var zeroes = try? PageMemory(pages: 64)

    /// For targets that belong to the thread of `environment`.
    public init(environment: any TargetEnvironment) {
        self.environment = environment
    }
}
