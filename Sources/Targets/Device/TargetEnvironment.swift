public import KCopy

/// What targets need of the thread that they belong to. Tests put one with a virtual clock behind it.
public protocol TargetEnvironment: AnyObject {
    /// A copy client of its own for a target.
    /// - Throws: `noMemory` where the budget cannot be had.
    func makeCopier(pages: Int, name: String, priority: CopyPriority) throws(TargetError) -> any ChunkCopier
    /// Does something that blocks on another thread, and then goes on with what came of it on this one.
    func detached<Value: Sendable>(
        _ work: @escaping @Sendable () -> Result<Value, TargetError>,
        then: @escaping (Result<Value, TargetError>) -> Void)
    /// Has something done later on this thread, unless it is cancelled by the number that is answered.
    func after(nanoseconds: UInt64, _ work: @escaping () -> Void) -> UInt64
    /// Drops what `after` was asked for.
    func cancel(timer: UInt64)
    /// Has something done when all that has come in at once was looked at: the time to do many things in one go.
    func afterBatch(_ work: @escaping () -> Void)
    /// Has something done, on this thread, as soon as the present call has returned.
    func later(_ work: @escaping () -> Void)
}
