import BlockIO
import Dispatch
import Glibc

/// Reads many stretches of a device at the same time, and returns when all are there: a ring of its own, on the
/// caller's thread.
final class ParallelReader: IOQueueClient {
    /// Longest wait for an end before asking again, in nanoseconds.
    private static let patience: UInt64 = 100_000_000

    private let queue = DispatchQueue(label: "io.ucopyd.store")
    private let io: IOQueue
    private var failure: (token: Int, errno: Int32)?

    /// A reader, or nil where the kernel allows no ring.
    init?() {
        guard let engine = try? RingEngine(queue: queue) else { return nil }
        io = IOQueue(engine: engine)
    }

    /// Fills all stretches.
    /// - Throws: the error of the first stretch that failed.
    func read(_ stretches: [StoreStretch], _ device: BlockDevice) throws(BlockError) {
        queue.sync {
            io.client = self
            let attached = io.attach(device)
            var next = 0
            while next < stretches.count || io.inFlight > 0 {
                while next < stretches.count, io.inFlight < io.depth {
                    start(stretches[next], next, attached)
                    next += 1
                }
                _ = io.wait(count: 1, nanoseconds: Self.patience)  // without an end the loop comes back here
            }
            io.detach(attached)
            io.shutdown()
        }
        guard let failure else { return }
        let stretch = stretches[failure.token]
        throw BlockDeviceMedium.failure(
            device.path, "read", stretch.sector, stretch.memory.count, failure.errno)
    }

    private func start(_ stretch: StoreStretch, _ index: Int, _ device: AttachedDevice) {
        guard let base = stretch.memory.baseAddress else { return }
        io.start(
            IOOperation(
                .read, device, offset: stretch.sector * UInt64(Sector.size), length: stretch.memory.count,
                memory: MemorySlice(address: base, slot: -1)),
            token: UInt64(index))
    }

    func operationEnded(token: UInt64, errno: Int32) {
        let index = Int(token)
        if errno != 0, failure.map({ index < $0.token }) ?? true { failure = (index, errno) }
    }

    func batchEnded() {}
    func ready() {}
}
