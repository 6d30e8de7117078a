import BlockIO
import SystemPackage
import Testing

@testable import Targets

@Suite("What a mapped device tells")
struct MappedReportTests {
    @Test("counts the events that the kernel counts, and tells observers of all")
    func events() throws {
        let bench = try DeviceBench()
        let target = bench.target("a", sectors: 64)
        bench.activate(try bench.table(target))
        var events: [MappedDeviceEvent] = []
        var woken: [UInt32] = []
        let observer = bench.device.observe { events.append($0) }
        bench.device.wait(for: 0) { woken.append($0) }
        let dropped = bench.device.wait(for: 0) { _ in Issue.record("was called off") }
        bench.device.cancelWait(dropped)
        target.onEvent?(TargetEvent(.fill, "80 %"))
        #expect(bench.device.eventNumber == 0 && woken.isEmpty)
        target.onEvent?(TargetEvent(.invalidated, "the store failed"))
        #expect(bench.device.eventNumber == 1 && woken == [1])
        bench.device.wait(for: 0) { woken.append($0) }
        #expect(woken == [1, 1])
        bench.device.ignore(observer)
        target.onEvent?(TargetEvent(.fill, "90 %"))
        #expect(
            events == [
                .target(TargetEvent(.fill, "80 %")), .target(TargetEvent(.invalidated, "the store failed")),
            ])
    }

    @Test("no more of a target whose table has been replaced")
    func oldEvents() throws {
        let bench = try DeviceBench()
        let old = bench.target("old", sectors: 64)
        bench.activate(try bench.table(old))
        let next = bench.target("next", sectors: 64)
        // As where the new target takes over what the old one has.
        next.onResume = { old.onEvent?(TargetEvent(.invalidated, "handed over")) }
        bench.activate(try bench.table(next))
        #expect(bench.device.eventNumber == 0 && old.onEvent == nil)
    }

    @Test("has a new name and a first uuid, and refuses what cannot be one")
    func names() throws {
        let bench = try DeviceBench()
        try bench.device.rename(to: "a-b:c")
        #expect(bench.device.info.name == "a-b:c" && bench.device.eventNumber == 1)
        try bench.device.setUUID("UCOPY-1")
        #expect(bench.device.info.uuid == "UCOPY-1")
        let second = #expect(throws: TargetError.self) { try bench.device.setUUID("UCOPY-2") }
        #expect(second?.description == "device \"a-b:c\": set the uuid: it has the uuid UCOPY-1, which stays")
        for name in ["", ".", "..", "a/b", "a b", "control", "ä", String(repeating: "a", count: 128)] {
            let error = #expect(throws: TargetError.self) { try bench.device.rename(to: name) }
            #expect(error?.errno == .invalidArgument)
            #expect(throws: TargetError.self) { try MappedDevice(name: name, host: bench.host) }
        }
        try bench.device.rename(to: String(repeating: "a", count: 127))
        try MappedDevice.check(name: "a", uuid: String(repeating: "b", count: 128))
        #expect(throws: TargetError.self) {
            try MappedDevice.check(name: "a", uuid: String(repeating: "b", count: 129))
        }
    }

    @Test("passes a message to the target of its sector")
    func messages() throws {
        let bench = try DeviceBench()
        let missing = #expect(throws: TargetError.self) { try bench.device.message(sector: 0, ["hello"]) }
        #expect(missing?.errno == .noSuchAddressOrDevice)
        bench.activate(
            try bench.table(bench.target("a", sectors: 8), bench.target("b", sectors: 8, start: 8)))
        #expect(try bench.device.message(sector: 8, ["hello", "you"]) == "b: hello+you")
        for (sector, words) in [(16, ["x"]), (0, []), (0, ["@x"]), (0, ["fail"])] as [(UInt64, [String])] {
            let error = #expect(throws: TargetError.self) { try bench.device.message(sector: sector, words) }
            #expect(error?.errno == .invalidArgument)
        }
    }

    @Test("takes a target that has to be alone only alone, and no table with gaps")
    func alone() throws {
        let bench = try DeviceBench()
        let first = bench.target("a", sectors: 8)
        let second = bench.target("b", sectors: 8, start: 8)
        second.abilities.isAlone = true
        let error = #expect(throws: TargetError.self) { try bench.table(first, second) }
        #expect(
            error?.description == "table line 2: load: held can only be the one line of its table, and there are 2")
        #expect(throws: TargetError.self) { try bench.table(second) }
        #expect(throws: TargetError.self) { try LoadedTable([]) }
        first.abilities.isAlone = true
        #expect(try bench.table(first).sectors == 8)
    }
}
