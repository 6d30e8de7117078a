import BlockIO
import Glibc

/// What becomes of a request at a target.
struct RequestTreatment {
    enum Way {
        /// The target takes it.
        case handed
        /// The target takes it, and a flush behind it.
        case followed
        /// The target is sent zeroes.
        case written
        /// The target cannot do it: an errno.
        case refused(Int32)
    }

    let way: Way
    /// What no part crosses a multiple of, in sectors from the target's start; 0 for no such limit.
    let boundary: UInt64

    init(_ request: BlockRequest, _ abilities: TargetAbilities) {
        // As in the kernel, discards are cut at the ends of targets only.
        boundary = request.operation == .discard ? 0 : abilities.boundary ?? 0
        switch request.operation {
        case .discard where !abilities.canDiscard: way = .refused(EOPNOTSUPP)
        case .write where abilities.isReadOnly, .writeZeroes where abilities.isReadOnly,
            .discard where abilities.isReadOnly:
            way = .refused(EROFS)
        // A target that writes zeroes by itself may give the storage up.
        case .writeZeroes where !abilities.canWriteZeroes || !request.mayUnmap: way = .written
        // No device writes zeroes durably: a flush follows.
        case .writeZeroes where request.isFUA: way = .followed
        default: way = .handed
        }
    }

    /// How much of a range the first part of it takes.
    func length(of range: SectorRange, in segment: LoadedTable.Segment) -> UInt64 {
        let length = min(range.count, segment.range.end - range.start)
        guard boundary > 0 else { return length }
        return min(length, boundary - (range.start - segment.range.start) % boundary)
    }
}
