import BlockIO
import Dispatch
import KCopy
import Synchronization

/// A client of the copy service on a queue thread: completions come to the thread in batches, with one wake-up each.
///
/// Belongs to its thread, but for what its copies have come to, which goes through `results`.
final class ServiceCopier: ChunkCopier {
    typealias Ended = (_ readError: Bool, _ writeErrors: UInt32) -> Void

    /// What has ended, until the thread takes it.
    private final class Results: Sendable {
        private struct Item {
            var slot: Int
            var readError: Bool
            var writeErrors: UInt32
        }
        private let items = Mutex<[Item]>([])

        /// Adds a result; whether it is the first since the last `take`.
        func add(_ slot: Int, _ result: CopyResult) -> Bool {
            items.withLock { items in
                // Only what is cut short by an end of the service is cancelled: nothing is known of the rest.
                items.append(
                    Item(
                        slot: slot, readError: result.readError || result.isCancelled, writeErrors: result.writeErrors))
                return items.count == 1
            }
        }

        func take(_ told: (_ slot: Int, _ readError: Bool, _ writeErrors: UInt32) -> Void) {
            let taken = items.withLock { items in
                var taken: [Item] = []
                swap(&taken, &items)
                return taken
            }
            for item in taken { told(item.slot, item.readError, item.writeErrors) }
        }
    }

    let mostDestinations = 8
    private let client: CopyClient
    private let thread: QueueThread
    private let results = Results()
    /// Whom to tell, by the number that a copy goes by.
    private var waiting: [Ended?] = []
    private var free: [Int] = []

    /// - Parameter client: one whose completions run on its lane.
    init(_ client: CopyClient, thread: QueueThread) {
        self.client = client
        self.thread = thread
    }

    func copy(
        from source: any TargetDevice, sector: UInt64, count: UInt64, to destinations: [CopyDestination],
        overlay: [OverlayStretch], ended: @escaping Ended
    ) {
        let slot = place(ended)
        let layers =
            overlay.isEmpty
            ? nil
            : CopyOverlay(
                overlay.map { stretch in
                    CopyOverlay.Stretch(
                        stretch.address, length: Int(stretch.count) << Sector.shift,
                        at: stretch.sector << UInt64(Sector.shift))
                })
        do throws(CopyError) {
            try client.copy(
                from: IORegion(Self.device(source), sector: sector, count: count),
                to: destinations.map { IORegion(Self.device($0.device), sector: $0.sector, count: count) },
                overlay: layers, completion: completion(slot))
        } catch {
            refuse(slot, destinations.count)
        }
    }

    func zero(_ destination: CopyDestination, count: UInt64, ended: @escaping (_ writeError: Bool) -> Void) {
        let slot = place { readError, writeErrors in ended(readError || writeErrors != 0) }
        let region = IORegion(Self.device(destination.device), sector: destination.sector, count: count)
        do throws(CopyError) { try client.zero([region], completion: completion(slot)) } catch { refuse(slot, 1) }
    }

    func destroy(_ done: @escaping () -> Void) {
        let done = ThreadBound(done, to: thread)
        let client = client
        // It waits for what is under way.
        ThreadEnvironment.blocking.async {
            client.destroy()
            done.post { $0() }
        }
    }

    private static func device(_ device: any TargetDevice) -> BlockDevice {
        guard let device = device as? ThreadDevice else {
            preconditionFailure("\(device.name) is no device of the copy service")
        }
        return device.device
    }

    private func place(_ ended: @escaping Ended) -> Int {
        if let slot = free.popLast() {
            waiting[slot] = ended
            return slot
        }
        waiting.append(ended)
        return waiting.count - 1
    }

    private func completion(_ slot: Int) -> @Sendable (CopyResult) -> Void {
        let results = results
        let me = ThreadBound(self, to: thread)
        return { result in
            if results.add(slot, result) { me.post { $0.takeResults() } }
        }
    }

    private func takeResults() {
        results.take { tell($0, $1, $2) }
    }

    /// A copy that the service does not take is one of which nothing could be read or written.
    private func refuse(_ slot: Int, _ destinations: Int) {
        thread.afterBatch { [self] in tell(slot, true, UInt32(1) << UInt32(destinations) - 1) }
    }

    private func tell(_ slot: Int, _ readError: Bool, _ writeErrors: UInt32) {
        guard let ended = waiting[slot] else { preconditionFailure("copy \(slot) has ended twice") }
        waiting[slot] = nil
        free.append(slot)
        ended(readError, writeErrors)
    }
}
