extension CopyInterface {
    /// The errors that the interface declares; the parameters are encoded as declared.
    public enum Failure: Error, Hashable, Sendable {
        case noSuchClient(client: Int)
        case noSuchJob(job: Int)
        case noSuchDevice(device: Int)
        case deviceFailed(object: String, operation: String, reason: String, errno: Int32)
        case refused(object: String, reason: String, errno: Int32)
        case limitExceeded(what: String, limit: Int)
        case stopping
    }
}
