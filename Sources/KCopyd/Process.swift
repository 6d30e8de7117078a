import BlockIO
import Glibc
import KCopy
import Synchronization
import SystemPackage

/// What the library holds once in a process, for as long as the process lives.
enum Process {
    /// The process that used the library first. A child of fork(2) inherits the tables, perhaps in
    /// the middle of a change, but none of the threads that would do the work.
    private static let owner = Atomic<pid_t>(0)

    /// Refuses the calls of a forked child; looks at no lock, for the fork may have copied it held.
    /// - Throws: EBADF in a child of the process that used the library first.
    static func requireOriginal() throws(CallError) {
        let caller = getpid()
        let (isFirst, original) = owner.compareExchange(expected: 0, desired: caller, ordering: .relaxed)
        guard isFirst || original == caller else { throw CallError(.badFileDescriptor) }
    }

    private static let started = Mutex<CopyService?>(nil)

    /// The one copy service of in-process clients, started for the first of them. It is never shut
    /// down: a program that ends takes it along, and restarting lanes for the next client costs more
    /// than keeping them.
    /// - Throws: EINVAL for an engine in the environment that does not exist, and what the kernel
    ///   says where it forbids the engine; the next call tries again.
    static func service() throws(CallError) -> CopyService {
        let engine = try engine()
        return try started.withLock { service throws(CallError) in
            if let service { return service }
            do throws(BlockError) {
                let new = try CopyService(engine: engine)
                service = new
                return new
            } catch {
                throw CallError(error)
            }
        }
    }

    /// The engine that KCOPYD_ENGINE names.
    private static func engine() throws(CallError) -> EngineChoice {
        guard let text = getenv("KCOPYD_ENGINE") else { return .auto }
        guard let engine = EngineChoice(rawValue: String(cString: text)) else { throw CallError(.invalidArgument) }
        return engine
    }
}
