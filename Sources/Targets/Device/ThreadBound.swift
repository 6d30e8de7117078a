public import BlockIO

/// Something that belongs to a queue thread, in the hands of somebody else: it can be carried anywhere, and is touched on
/// its thread only. The thread has to outlive every use.
public struct ThreadBound<Value>: @unchecked Sendable {  // `value` is handed out on its thread only
    private let content: Value
    /// The thread.
    public let thread: QueueThread

    /// Binds something that nobody but the thread touches from now on.
    public init(_ value: Value, to thread: QueueThread) {
        content = value
        self.thread = thread
    }

    /// Makes something on a thread.
    public static func make<Failure: Error>(
        on thread: QueueThread, _ body: @escaping @Sendable () throws(Failure) -> Value
    ) async throws(Failure) -> ThreadBound {
        try await ThreadBound<Void>((), to: thread).read { _ throws(Failure) in
            ThreadBound(try body(), to: thread)
        }
    }

    /// The thing itself, for those who are on its thread.
    public var value: Value {
        precondition(thread.isCurrent, "\(Value.self) was touched on another thread than \(thread.name)")
        return content
    }

    /// Has something done with it, without waiting for that.
    public func post(_ work: @escaping @Sendable (Value) -> Void) {
        thread.post { work(value) }
    }

    /// Has something done with it, and waits for what comes of it.
    public func read<Result: Sendable, Failure: Error>(
        _ body: @escaping @Sendable (Value) throws(Failure) -> Result
    ) async throws(Failure) -> Result {
        let outcome: Swift.Result<Result, Failure> = await withCheckedContinuation { continuation in
            post { value in
                do throws(Failure) {
                    continuation.resume(returning: .success(try body(value)))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try outcome.get()
    }
}

extension ThreadBound where Value == MappedDevice {
    /// Does one of the operations that take their time, and waits for its end:
    /// `try await device.perform { $0.suspend(noflush: false, $1) }`.
    public func perform(
        _ operation: @escaping @Sendable (MappedDevice, @escaping MappedDevice.Completion) -> Void
    ) async throws(TargetError) {
        let outcome: Result<Void, TargetError> = await withCheckedContinuation { continuation in
            post { device in operation(device) { continuation.resume(returning: $0) } }
        }
        return try outcome.get()
    }
}
