import BlockIO
import SystemPackage
import TestSupport
import Testing

@testable import Targets

@Suite("A mapped device under everything at once")
struct MappedStressTests {
    private static let sectors: UInt64 = 256

    /// Requests, ends of parts, suspensions and tables in an order that a seed gives.
    private final class Chaos {
        let bench: DeviceBench
        let memory = HeldMemory(sectors: MappedStressTests.sectors)
        var numbers: SeededNumbers
        var targets: [HeldTarget] = []
        /// What the device is to hold when all requests have ended.
        var model: [UInt8]
        var requests: [(pending: PendingIO, expected: [UInt8])] = []
        var outcomes: [Outcome] = []

        init(seed: UInt64) throws {
            bench = try DeviceBench()
            numbers = SeededNumbers(seed)
            model = memory.bytes
        }

        func random(_ bound: UInt64) -> UInt64 { UInt64.random(in: 0..<bound, using: &numbers) }

        /// One to three targets that share the memory.
        func table() throws -> LoadedTable {
            var start: UInt64 = 0
            var segments: [LoadedTable.Segment] = []
            let count = 1 + random(3)
            for index in 0..<count {
                let end = index == count - 1 ? MappedStressTests.sectors : start + 1 + random(80)
                let target = HeldTarget(
                    "\(index)", sectors: end - start, start: start, memory: memory, log: bench.log)
                target.abilities.boundary = [nil, 1, 8, 24][Int(random(4))]
                target.abilities.canWriteZeroes = random(2) == 0
                target.abilities.canFlush = random(4) > 0
                target.givesBack = random(2) == 0
                target.isPrompt = random(4) == 0
                targets.append(target)
                segments.append(LoadedTable.Segment(range: target.range, target: target))
                start = end
            }
            return try LoadedTable(segments)
        }

        func submit() {
            let operation = [IOOperation.Kind.read, .write, .write, .writeZeroes, .flush][Int(random(5))]
            if operation == .flush { return add(.flush, SectorRange(start: 0, count: 0), []) }
            let start = random(MappedStressTests.sectors)
            let range = SectorRange(start: start, count: 1 + random(min(150, MappedStressTests.sectors - start)))
            // Which of two that overlap comes first is nobody's promise.
            let isAlone = requests.allSatisfy { !$0.pending.ends.isEmpty || !$0.pending.request.range.overlaps(range) }
            guard isAlone else { return }
            let bytes = Int(range.start) * 512..<Int(range.end) * 512
            switch operation {
            case .write:
                let data = Bytes.random(bytes.count, seed: random(60_000))
                model.replaceSubrange(bytes, with: data)
                add(.write, range, data)
            case .writeZeroes:
                model.replaceSubrange(bytes, with: [UInt8](repeating: 0, count: bytes.count))
                add(.writeZeroes, range, [])
            default: add(.read, range, Array(model[bytes]))
            }
        }

        private func add(_ operation: IOOperation.Kind, _ range: SectorRange, _ data: [UInt8]) {
            let isFUA = operation != .read && operation != .flush && random(4) == 0
            let pending = bench.request(
                operation, range.start, range.count, data: operation == .write ? data : nil, isFUA: isFUA,
                mayUnmap: random(2) == 0)
            requests.append((pending, operation == .read ? data : []))
            bench.device.handle(pending.request)
        }

        func endOne() -> Bool {
            let busy = targets.filter { !$0.held.isEmpty }
            guard !busy.isEmpty else { return false }
            let target = busy[Int(random(UInt64(busy.count)))]
            target.end(Int(random(UInt64(target.held.count))))
            return true
        }

        func step() throws {
            switch random(40) {
            case 0..<14: submit()
            case 14..<35: _ = endOne()
            case 35: outcomes.append(Outcome { bench.device.suspend(noflush: random(2) == 0, $0) })
            case 36, 37: outcomes.append(Outcome { bench.device.resume(noflush: random(2) == 0, $0) })
            case 38: outcomes.append(bench.load(try table()))
            default: outcomes.append(Outcome { bench.device.clear($0) })
            }
        }
    }

    @Test("loses no request, ends none twice, and keeps every byte", arguments: 1...40 as ClosedRange<UInt64>)
    func chaos(seed: UInt64) throws {
        let chaos = try Chaos(seed: seed)
        chaos.bench.activate(try chaos.table())
        for _ in 0..<600 { try chaos.step() }
        chaos.outcomes.append(Outcome { chaos.bench.device.resume($0) })
        while chaos.endOne() {}
        #expect(chaos.requests.count > 50)
        for (pending, expected) in chaos.requests {
            try #require(pending.ends == [0], "\(pending.request.operation) \(pending.request.range)")
            if !expected.isEmpty { #expect(Bytes.difference(pending.bytes, expected) == nil) }
        }
        #expect(chaos.outcomes.map(\.isSuccess) == Array(repeating: true, count: chaos.outcomes.count))
        #expect(Bytes.difference(chaos.memory.bytes, chaos.model) == nil)
    }
}
