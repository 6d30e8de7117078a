import BlockIO
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import KCopy

/// Random jobs in one area that nobody else writes to, and what the area has to hold after them.
private struct AreaModel {
    /// The sectors of the area on every device.
    let area: Range<Int>
    var numbers: SeededNumbers
    /// The content of the area of each device, from its first sector.
    var contents: [[UInt8]]

    struct Request {
        /// The device and the sector in the area; nil zeroes.
        var source: (device: Int, sector: Int)?
        var destinations: [(device: Int, sector: Int)]
        var count: Int
        var flags: CopyFlags
    }

    /// Jobs that may run at once: no destination overlaps anything else.
    mutating func batch() -> [Request] {
        var taken: [(device: Int, sectors: Range<Int>)] = []
        var requests: [Request] = []
        for _ in 0..<Int.random(in: 1...6, using: &numbers) {
            let count = [1, 8, 100, 1024, 1500][Int.random(in: 0..<5, using: &numbers)]
            func place(_ numbers: inout SeededNumbers) -> (device: Int, sector: Int) {
                (Int.random(in: 0..<3, using: &numbers), Int.random(in: 0...(area.count - count), using: &numbers))
            }
            let places = (0...Int.random(in: 1...3, using: &numbers)).map { _ in place(&numbers) }
            let ranges = places.map { (device: $0.device, sectors: $0.sector..<$0.sector + count) }
            let overlaps = ranges.enumerated().contains { index, range in
                (taken + ranges[..<index]).contains { $0.device == range.device && $0.sectors.overlaps(range.sectors) }
            }
            if overlaps { continue }
            taken += ranges
            let flags: [CopyFlags] = [
                [], [], .sequential, .verify, .detectZeroes, .skipHoles, [.verify, .sequential, .flush],
            ]
            requests.append(
                Request(
                    source: Int.random(in: 0..<5, using: &numbers) == 0 ? nil : places[0],
                    destinations: Array(places[1...]),
                    count: count, flags: flags[Int.random(in: 0..<flags.count, using: &numbers)]))
        }
        return requests
    }

    mutating func apply(_ request: Request) {
        let source = request.source.map { (contents[$0.device], $0.sector) }
        for destination in request.destinations {
            contents[destination.device] = Bytes.replacing(
                contents[destination.device], sector: destination.sector, count: request.count, from: source?.0,
                sector: source?.1 ?? 0)
        }
    }
}

@Suite("Random jobs of several clients at once")
struct StressTests {
    private static let area = 6000
    private static let tasks = 4

    @Test("leave on every device what a model of them says", arguments: EngineKind.available, [1, 2, 3])
    func random(engine: EngineKind, seed: UInt64) async throws {
        let directory = try TemporaryDirectory()
        let service = try CopyService(engine: engine.choice, lanes: 2)
        defer { service.shutdown() }
        let size = Self.area * Self.tasks * 512
        let before = (0..<3).map { Bytes.random(size, seed: seed << 8 | UInt64($0)) }
        let devices = try (0..<3).map {
            try BlockDevice.open(
                FilePath(try directory.image("device \($0)", contents: before[$0])), access: .readWrite, claim: true)
        }
        defer { for device in devices { device.close() } }
        let expected = try await withThrowingTaskGroup(of: (Int, [[UInt8]]).self) { group in
            for task in 0..<Self.tasks {
                group.addTask { (task, try await Self.run(task, seed, service, devices, before)) }
            }
            var all = before
            for try await (task, contents) in group {
                for device in 0..<3 {
                    all[device] = all[device].replacing(
                        sector: task * Self.area, count: Self.area, from: contents[device], sector: 0)
                }
            }
            return all
        }
        for (device, contents) in zip(devices, expected) { try expectContent(device, contents) }
    }

    private static func run(
        _ task: Int, _ seed: UInt64, _ service: CopyService, _ devices: [BlockDevice], _ before: [[UInt8]]
    ) async throws -> [[UInt8]] {
        let first = task * area
        var model = AreaModel(
            area: first..<first + area, numbers: SeededNumbers(seed << 16 | UInt64(task)),
            contents: before.map { Array($0[first * 512..<(first + area) * 512]) })
        let clients = try [1 + task, 7, 300].map { try CopyClient(service: service, pages: $0) }
        for round in 0..<40 {
            var boxes: [ResultBox] = []
            let requests = model.batch()
            for (index, request) in requests.enumerated() {
                func region(_ place: (device: Int, sector: Int)) -> IORegion {
                    IORegion(devices[place.device], sector: UInt64(first + place.sector), count: UInt64(request.count))
                }
                let box = ResultBox()
                let client = clients[(round + index) % clients.count]
                let destinations = request.destinations.map(region)
                if let source = request.source {
                    try client.copy(from: region(source), to: destinations, flags: request.flags) { box.set($0) }
                } else {
                    try client.zero(destinations, flags: request.flags) { box.set($0) }
                }
                boxes.append(box)
                model.apply(request)
            }
            for (box, request) in zip(boxes, requests) { #expect(await box.value == .success(request.count)) }
            // A client that goes and comes while others work.
            if round % 10 == 9 { try CopyClient(service: service, pages: 5).destroy() }
        }
        for client in clients { client.destroy() }
        return model.contents
    }
}
