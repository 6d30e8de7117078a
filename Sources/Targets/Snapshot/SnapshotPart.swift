import BlockIO
import Glibc

/// One transfer of a request to the origin or to the store, and what is tracked of it. Made to be used again.
final class SnapshotPart {
    /// Where it goes, and who has to know as long as it is under way.
    enum Kind {
        /// Reads from the store: nobody.
        case storeRead
        /// Writes to the store, or discards there: a merge waits for it.
        case storeWrite
        /// Reads from the origin: writes to the origin wait for it.
        case originRead
    }

    private unowned let snapshot: Snapshot
    let transfer = DeviceIO()
    let tracked = TrackedTransfer()
    var kind = Kind.storeRead
    /// The request that it is a part of.
    var request: BlockRequest?
    /// Itself, while its transfer is under way: nobody else has it then.
    private var underWay: SnapshotPart?

    init(_ snapshot: Snapshot) {
        self.snapshot = snapshot
        transfer.ended = { [unowned self] transfer in
            let part = underWay ?? self
            underWay = nil
            part.snapshot.ended(part, transfer.errno)
        }
    }

    /// Starts its transfer, which has been described.
    func start(on device: any TargetDevice) {
        underWay = self
        device.start(transfer)
    }
}

extension Snapshot {
    /// Starts a part of a request, which has been described but for its device.
    func start(_ kind: SnapshotPart.Kind, _ part: SnapshotPart, of request: BlockRequest, _ chunks: Range<UInt64>) {
        part.kind = kind
        part.request = request
        request.parts += 1
        switch kind {
        case .storeRead: part.start(on: cow)
        case .storeWrite:
            storeWrites.begin(part.tracked, chunks)
            part.start(on: cow)
        case .originRead:
            originReads.begin(part.tracked, chunks)
            part.start(on: origin)
        }
    }

    func ended(_ part: SnapshotPart, _ errno: Int32) {
        let waiting =
            switch part.kind {
            case .storeRead: [() -> Void]()
            case .storeWrite: storeWrites.end(part.tracked)
            case .originRead: originReads.end(part.tracked)
            }
        let request = part.request
        let isHint = part.transfer.kind == .discard && errno == EOPNOTSUPP
        give(part)
        for done in waiting { done() }
        // A device that cannot discard need not do anything.
        request?.partEnded(isHint ? 0 : errno)
        checkDrained()
    }
}
