import BlockIO
import Glibc

/// `error`: every request fails with EIO. It takes no words, and its table and status lines have none.
///
/// Like version 1.6.0 of the kernel's; what 1.7.0 added, words that name a zoned device, is not offered.
public struct ErrorTargetType: TargetType {
    public let name = "error"
    public let version = [1, 6, 0]

    public init() {}

    public func parse(_ line: TableLine) throws(TargetError) -> any TargetPlan {
        try TableWords(line).end()
        return DevicelessPlan { ErrorTarget() }
    }
}

/// A plan for a target without devices, which cannot fail.
struct DevicelessPlan: TargetPlan {
    let devices: [PlannedDevice] = []
    let make: @Sendable () -> any Target

    init(_ make: @escaping @Sendable () -> any Target) { self.make = make }

    func construct(
        _ devices: [any TargetDevice], options: TargetOptions, host: TargetHost,
        ended: @escaping (Result<any Target, TargetError>) -> Void
    ) {
        ended(.success(make()))
    }
}

final class ErrorTarget: StatelessTarget {
    let typeName = "error"
    var onEvent: ((TargetEvent) -> Void)?

    var abilities: TargetAbilities {
        var abilities = TargetAbilities()
        // Discards fail like everything else, rather than being unsupported; there is nothing to flush.
        abilities.canDiscard = true
        abilities.canWriteZeroes = true
        abilities.canFlush = false
        return abilities
    }

    func handle(_ request: BlockRequest) { request.end(EIO) }

    func allocation(in range: SectorRange, limit: Int) -> [Allocation] {
        [Allocation(end: range.end, isHole: false, isZero: false)]
    }
}
