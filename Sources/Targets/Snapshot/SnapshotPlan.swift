import KCopy
import SystemPackage
import BlockIO

/// A `snapshot` or `snapshot-merge` line that has been understood.
struct SnapshotPlan: TargetPlan {
    /// The budget of a snapshot's copy client where nobody says otherwise: 4 MiB.
    private static let defaultPages = 1024

    private let line: TableLine
    private let words: SnapshotLine
    private let merges: Bool

    /// - Throws: EINVAL; which word is wrong and why.
    init(_ line: TableLine, merges: Bool) throws(TargetError) {
        try line.requireAlone()
        words = try SnapshotLine(line, merges: merges)
        self.line = line
        self.merges = merges
    }

    var devices: [PlannedDevice] {
        [
            // Discards that are passed down change the origin.
            PlannedDevice(words.origin, isWritten: merges || words.features.discardPassdownOrigin),
            // A read-only snapshot has to keep what its origin loses all the same.
            PlannedDevice(words.cow, isWritten: true, followsTable: false),
        ]
    }

    func construct(
        _ devices: [any TargetDevice], options: TargetOptions, host: TargetHost,
        ended: @escaping (Result<any Target, TargetError>) -> Void
    ) {
        let seat = SnapshotSeat(
            words, origin: devices[0], cow: devices[1], length: line.range.count, merges: merges, options: options,
            host: host)
        do throws(TargetError) {
            try check(seat)
            let source = try host.origins.source(for: seat)
            if merges { try host.origins.checkMerge(seat) }
            // From here on nobody else gets this store.
            host.origins.add(seat)
            if let source {
                seat.wait(for: source)
                return ended(.success(target(seat)))
            }
        } catch {
            for device in devices { device.release() }
            return ended(.failure(error))
        }
        load(seat, options) { result in
            switch result {
            case .success(let snapshot):
                seat.seat(snapshot)
                ended(.success(target(seat)))
            case .failure(let error): seat.leave { ended(.failure(error)) }
            }
        }
    }

    private func target(_ seat: SnapshotSeat) -> any Target { merges ? MergeTarget(seat) : SnapshotTarget(seat) }

    /// What can be seen from the devices alone.
    private func check(_ seat: SnapshotSeat) throws(TargetError) {
        let (origin, cow) = (seat.originDevice, seat.cowDevice)
        guard origin.identity != cow.identity else {
            throw TargetError(
                cow.name, "use as a store", .invalidArgument, "it is the origin, by another name")
        }
        try line.checkFits(origin)
        try line.checkBlocks(cow)
        guard words.chunkSectors > 0 else { return }
        do throws(ChunkSizeFault) {
            _ = try StoreGeometry(
                checking: words.chunkSectors, storeBlock: cow.logicalBlockSectors,
                originBlock: origin.logicalBlockSectors)
        } catch { throw TargetError(cow.name, "use as a store", .invalidArgument, error.description) }
    }

    // MARK: Loading

    private func load(
        _ seat: SnapshotSeat, _ options: TargetOptions, _ done: @escaping (Result<Snapshot, TargetError>) -> Void
    ) {
        let pages = options.pages ?? Self.defaultPages
        guard words.store.isPersistent else {
            let store = TransientStore(chunkSectors: words.chunkSectors)
            return done(make(seat, store, ExceptionTable(), pages: pages, isValid: true))
        }
        let loader = PersistentStoreLoader(
            medium: seat.cowDevice.medium, tableChunk: words.chunkSectors,
            originBlock: seat.originDevice.logicalBlockSectors, originSectors: seat.originDevice.sectors)
        seat.host.environment.detached { () -> Result<LoadedStore, TargetError> in
            do throws(BlockError) { return .success(try loader.load()) } catch { return .failure(TargetError(error)) }
        } then: { result in
            switch result {
            case .failure(let error): done(.failure(error))
            case .success(let loaded):
                do throws(TargetError) {
                    let store = try PersistentStore(
                        loaded, device: seat.cowDevice, environment: seat.host.environment)
                    done(make(seat, store, loaded.table, pages: pages, isValid: loaded.condition != .invalid))
                } catch { done(.failure(error)) }
            }
        }
    }

    private func make(
        _ seat: SnapshotSeat, _ store: any ExceptionStore, _ exceptions: ExceptionTable, pages: Int, isValid: Bool
    ) -> Result<Snapshot, TargetError> {
        do throws(TargetError) {
            let name = "\(line.type) \(seat.cowDevice.name)"
            let copier = try seat.host.environment.makeCopier(
                pages: pages, name: name, priority: merges ? .resync : .copyOnWrite)
            let snapshot = Snapshot(
                origin: seat.originDevice, cow: seat.cowDevice, store: store, exceptions: exceptions, copier: copier,
                environment: seat.host.environment, length: line.range.count, policy: .invalidate)
            if !isValid { snapshot.loadedInvalid() }
            return .success(snapshot)
        } catch { return .failure(error) }
    }
}
