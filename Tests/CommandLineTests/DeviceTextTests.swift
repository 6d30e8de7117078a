import ControlAPI
import Testing

@testable import Targets
@testable import ucopyctl

@Suite("Mapped devices as dmsetup prints them")
struct DeviceTextTests {
    private func device(
        _ name: String, uuid: String? = nil, suspended: Bool = false, readOnly: Bool = false, deferred: Bool = false,
        live: Bool = true, inactive: Bool = false
    ) -> TargetInterface.Device {
        TargetInterface.Device(
            name: name, uuid: uuid, suspended: suspended, readOnly: readOnly, deferredRemove: deferred, liveTable: live,
            inactiveTable: inactive, openCount: 2, eventNumber: 13, targets: 1, sectors: 8, socket: "/run/\(name).sock")
    }

    @Test("a block for each device says what is true of it, and ends with an empty line")
    func info() {
        #expect(
            DeviceText.info(device("home", uuid: "UCOPY-1", suspended: true, readOnly: true, inactive: true)) == """
                Name:              home
                State:             SUSPENDED (READ-ONLY)
                Tables present:    LIVE & INACTIVE
                Open count:        2
                Event number:      13
                Number of targets: 1
                NBD socket:        /run/home.sock
                UUID: UCOPY-1

                """)
        let bare = DeviceText.info(device("b", deferred: true, live: false)).split(separator: "\n")
        #expect(bare.contains("State:             ACTIVE (DEFERRED REMOVE)"))
        #expect(bare.contains("Tables present:    None") && !bare.contains { $0.hasPrefix("UUID") })
    }

    @Test("columns stand where dmsetup has them, and widen for a long name")
    func columns() {
        #expect(
            DeviceText.columns([
                device("home", uuid: "UCOPY-1"), device("b", suspended: true, readOnly: true, inactive: true),
            ])
                == [
                    "Name             Maj Min Stat Open Targ Event  UUID",
                    "home               -   - L--w    2    1     13 UCOPY-1",
                    "b                  -   - LIsr    2    1     13 ",
                ])
        let long = DeviceText.columns([device("a-name-of-twenty-chars")])
        #expect(long[0].hasPrefix("Name                   Maj ") && long[1].hasPrefix("a-name-of-twenty-chars   - "))
    }

    @Test("lines have a blank behind a target without words, and their device's name where several are shown")
    func lines() {
        let table = TargetInterface.DeviceTable(
            name: "d", uuid: nil,
            lines: [
                .init(start: 0, length: 8, target: "zero", text: ""),
                .init(start: 8, length: 16, target: "linear", text: "7:0 0"),
            ])
        #expect(DeviceText.table(table, named: false) == ["0 8 zero ", "8 16 linear 7:0 0"])
        #expect(DeviceText.table(table, named: true) == ["d: 0 8 zero ", "d: 8 16 linear 7:0 0"])
        #expect(DeviceText.table(.init(name: "d", uuid: nil, lines: []), named: true) == ["d: "])
        #expect(
            DeviceText.dependencies(.init(name: "d", uuid: nil, devices: ["7:0", "/srv/a.img"]), named: true)
                == "d: 2 dependencies\t: (7, 0) (/srv/a.img)")
        #expect(DeviceText.dependencies(.init(name: "d", uuid: nil, devices: []), named: false) == "0 dependencies\t:")
    }

    @Test("target types and events have a line each")
    func others() {
        #expect(
            DeviceText.targetType(.init(name: "snapshot-origin", version: [1, 9, 0])) == "snapshot-origin  v1.9.0")
        let event = TargetInterface.Event(
            number: 1, time: 1_795_240_347.87, device: "home", uuid: nil, kind: .mergeFinished, text: "all\nof it",
            eventNumber: 0, details: [:])
        #expect(DeviceText.event(event) == "2026-11-21T05:52:27Z home mergeFinished all\\x0aof it")
    }

    @Test("a damaged store is told with its faults, and in bytes for programs")
    func store() throws {
        var report = StoreReport(
            device: "s", condition: .valid, header: .init(magic: 1, valid: 1, version: 1, chunkSectors: 16),
            totalSectors: 65536)
        report.chunkSectors = 16
        report.exceptions = 3
        report.allocatedSectors = 80
        report.metadataSectors = 32
        report.areas = [.init(index: 0, chunk: 1, sector: 16, used: 3, slots: 512)]
        report.faults = [StoreFault(rule: .wrongMagic(1))]
        #expect(
            StoreText.report(report) == """
                s: a damaged store: a snapshot would refuse it
                chunk size:  16 sectors (8.0 KiB)
                exceptions:  3 in 1 area, 3 of 512 in the last
                in use:      80/65536 sectors (0%), 32 of them metadata
                error: header: begins with 0x00000001, not with 0x70416e53
                """)
        let json = try JSONText.encode(StoreReportObject(report))
        for part in [#""allocatedBytes":40960"#, #""totalBytes":33554432"#, #""isLoadable":false"#, #""slots":512"#] {
            #expect(json.contains(part), "\(json)")
        }
    }
}
