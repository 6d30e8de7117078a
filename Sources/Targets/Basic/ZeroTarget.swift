import BlockIO
import Glibc

/// `zero`: reads as zeroes, and drops what is written. It takes no words, and its table and status lines have none.
public struct ZeroTargetType: TargetType {
    public let name = "zero"
    /// That of Linux 6.12, which takes discards; 6.1 has 1.1.0.
    public let version = [1, 2, 0]

    public init() {}

    public func parse(_ line: TableLine) throws(TargetError) -> any TargetPlan {
        try TableWords(line).end()
        return DevicelessPlan { ZeroTarget() }
    }
}

final class ZeroTarget: StatelessTarget {
    let typeName = "zero"
    var onEvent: ((TargetEvent) -> Void)?

    var abilities: TargetAbilities {
        var abilities = TargetAbilities()
        abilities.canDiscard = true
        abilities.canWriteZeroes = true
        abilities.canFlush = false
        return abilities
    }

    func handle(_ request: BlockRequest) {
        if request.operation == .read, let memory = request.memory {
            memset(memory.address, 0, Int(request.count) << Sector.shift)
        }
        request.end(0)
    }

    func allocation(in range: SectorRange, limit: Int) -> [Allocation] {
        [Allocation(end: range.end, isHole: true, isZero: true)]
    }
}
