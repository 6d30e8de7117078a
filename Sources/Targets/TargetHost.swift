/// What the targets of one queue thread share.
public final class TargetHost {
    /// The thread.
    public let environment: any TargetEnvironment
    /// Which snapshots each origin has.
    let origins = OriginRegistry()

    /// For targets that belong to the thread of `environment`.
    public init(environment: any TargetEnvironment) {
        self.environment = environment
    }
}
