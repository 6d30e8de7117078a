import BlockIO
import Glibc

/// A device in memory that can hold requests back. Belongs to a queue thread like every served device.
final class HoldingDevice: ServedDevice {
    let sectors: UInt64
    var isReadOnly = false
    var logicalBlockSectors: UInt64 = 1
    var preferredSectors: UInt64 = 8
    var canDiscard = true
    var canWriteZeroesFast = true
    private(set) var users = 0
    private let content: UnsafeMutableRawPointer

    /// Whether requests wait for `release`.
    var isHolding = false
    private(set) var held: [BlockRequest] = []
    /// What has come, in order.
    private(set) var seen: [IOOperation.Kind] = []
    private(set) var sawFUA = false
    private(set) var sawNoUnmap = false
    /// What the next requests end with.
    var failure: Int32 = 0
    var known: [Allocation]?

    init(sectors: UInt64) {
        self.sectors = sectors
        content = .allocate(byteCount: Int(sectors) << Sector.shift, alignment: 4096)
        memset(content, 0, Int(sectors) << Sector.shift)
    }

    deinit { content.deallocate() }

    func handle(_ request: BlockRequest) {
        seen.append(request.operation)
        sawFUA = sawFUA || request.isFUA
        sawNoUnmap = sawNoUnmap || !request.mayUnmap
        precondition(request.range.end <= sectors, "a request that is not inside the device")
        if isHolding { held.append(request) } else { carryOut(request) }
    }

    /// Ends a request that was held back: the first, the last, or all of them.
    func release(last: Bool = false) {
        guard !held.isEmpty else { return }
        carryOut(last ? held.removeLast() : held.removeFirst())
    }

    func releaseAll() {
        isHolding = false
        while !held.isEmpty { release() }
    }

    private func carryOut(_ request: BlockRequest) {
        guard failure == 0 else { return request.end(failure) }
        let place = content + Int(request.sector) << Sector.shift
        let length = Int(request.count) << Sector.shift
        switch (request.operation, request.memory?.address) {
        case (.read, let address?): address.copyMemory(from: place, byteCount: length)
        case (.write, let address?): place.copyMemory(from: address, byteCount: length)
        case (.writeZeroes, nil), (.discard, nil): memset(place, 0, length)
        case (.flush, nil): break
        default: preconditionFailure("\(request.operation) is no request")
        }
        request.end(0)
    }

    func allocation(in range: SectorRange, limit: Int) -> [Allocation] {
        known ?? [Allocation(end: range.end, isHole: false, isZero: false)]
    }

    func opened() { users += 1 }
    func closed() { users -= 1 }
}
