import BlockIO

/// A write to an origin, and how many pending runs of its snapshots it waits for. Made to be used again.
final class OriginWrite {
    var request: BlockRequest?
    /// Runs that have to become safe first.
    var left = 0
    /// The target that the request was sent to.
    unowned let origin: Origin
    var sender: (any RequestSender)?
    /// Where it goes; nil where nothing is written.
    var device: (any TargetDevice)?
    private let transfer = DeviceIO()
    /// Itself, while its transfer is under way: nobody else has it then.
    private var underWay: OriginWrite?

    init(_ origin: Origin) {
        self.origin = origin
        transfer.ended = { [unowned self] transfer in
            let write = underWay ?? self
            underWay = nil
            write.origin.ended(write, transfer.errno)
        }
    }

    /// Writes the request's data.
    func start(_ request: BlockRequest, on device: any TargetDevice) {
        transfer.describe(
            request.operation, sector: request.sector, count: request.count, memory: request.memory,
            isFUA: request.isFUA)
        underWay = self
        device.start(transfer)
    }

    /// One of the runs is safe, or its snapshot has been lost.
    func oneIsSafe() {
        left -= 1
        if left == 0 { origin.prepare(self) }
    }
}
