import KCopy

/// A client whose work is done in this process.
final class LocalClient: CopyBackend {
    private let client: CopyClient

    /// Sets the pages aside.
    /// - Throws: EINVAL for 0 pages or too many; ENOMEM and the like where memory is short.
    init(pages: UInt32) throws(CallError) {
        let service = try Process.service()
        do {
            client = try CopyClient(service: service, pages: Int(pages), name: "kcopyd")
        } catch {
            throw CallError(error)
        }
    }

    func start(
        _ request: CopyRequest, completion: @escaping @Sendable (JobOutcome) -> Void
    ) throws(CallError) -> any RunningJob {
        let completion: @Sendable (CopyResult) -> Void = { completion(JobOutcome($0)) }
        do {
            guard let source = request.source else {
                return try client.zero(request.destinations, flags: request.flags, completion: completion)
            }
            return try client.copy(
                from: source, to: request.destinations, flags: request.flags, completion: completion)
        } catch {
            throw CallError(error)
        }
    }

    func setRate(_ rate: CopyRate) { client.setRate(rate) }

    func destroy() { client.destroy() }
}
