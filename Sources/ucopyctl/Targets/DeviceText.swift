import ControlAPI

/// Devices as dmsetup(8) prints them.
enum DeviceText {
    /// What a listing says where there is nothing to list.
    static let none = "No devices found"

    /// Lines of `START LENGTH TARGET TEXT`, each behind its device's name where `named` is set. A device without a table
    /// has an empty line.
    static func table(_ device: TargetInterface.DeviceTable, named: Bool) -> [String] {
        lines(device.name, named, device.lines.map { ($0.start, $0.length, $0.target, $0.text) })
    }

    /// As `table`.
    static func status(_ device: TargetInterface.DeviceStatus, named: Bool) -> [String] {
        lines(device.name, named, device.lines.map { ($0.start, $0.length, $0.target, $0.text) })
    }

    private static func lines(_ name: String, _ named: Bool, _ lines: [(UInt64, UInt64, String, String)]) -> [String] {
        let prefix = named ? "\(name): " : ""
        guard !lines.isEmpty else { return [prefix] }
        return lines.map { start, length, target, text in
            StandardStreams.visible("\(prefix)\(start) \(length) \(target) \(text)")
        }
    }

    /// `2 dependencies	: (7, 0) (/srv/a.img)`.
    static func dependencies(_ device: TargetInterface.DeviceDependencies, named: Bool) -> String {
        let all = device.devices.map { device in
            let parts = device.split(separator: ":", omittingEmptySubsequences: false)
            let isNumber = parts.count == 2 && parts.allSatisfy { !$0.isEmpty && $0.allSatisfy(\.isNumber) }
            return isNumber ? " (\(parts[0]), \(parts[1]))" : " (\(StandardStreams.visible(device)))"
        }
        return (named ? "\(device.name): " : "") + "\(device.devices.count) dependencies\t:" + all.joined()
    }

    /// A block of lines that ends with an empty one.
    static func info(_ device: TargetInterface.Device) -> String {
        let tables = [device.liveTable ? "LIVE" : nil, device.inactiveTable ? "INACTIVE" : nil].compactMap { $0 }
        var lines = [
            "Name:              \(device.name)",
            "State:             \(device.suspended ? "SUSPENDED" : "ACTIVE")"
                + (device.readOnly ? " (READ-ONLY)" : "") + (device.deferredRemove ? " (DEFERRED REMOVE)" : ""),
            "Tables present:    \(tables.isEmpty ? "None" : tables.joined(separator: " & "))",
            "Open count:        \(device.openCount)",
            "Event number:      \(device.eventNumber)",
            "Number of targets: \(device.targets)",
            "NBD socket:        \(StandardStreams.visible(device.socket))",
        ]
        if let uuid = device.uuid { lines.append("UUID: \(uuid)") }
        return lines.joined(separator: "\n") + "\n"
    }

    private static let head = ["Name", "Maj", "Min", "Stat", "Open", "Targ", "Event", "UUID"]
    private static let leastWidths = [16, 3, 3, 4, 4, 4, 6, 0]
    private static let numbers: Set<Int> = [1, 2, 4, 5, 6]

    /// A line of headings, and one for each device; columns as `dmsetup info -c` has them. There is no major and no minor
    /// number.
    static func columns(_ devices: [TargetInterface.Device]) -> [String] {
        let rows = devices.map { device in
            [
                device.name, "-", "-", attributes(device), "\(device.openCount)", "\(device.targets)",
                "\(device.eventNumber)", device.uuid ?? "",
            ]
        }
        let widths = head.indices.map { column in
            max(leastWidths[column], rows.map { $0[column].count }.max() ?? 0)
        }
        // Headings are flush left, also above numbers.
        return [line(head, widths, flushRight: [])] + rows.map { line($0, widths, flushRight: numbers) }
    }

    private static func line(_ cells: [String], _ widths: [Int], flushRight: Set<Int>) -> String {
        let last = cells.count - 1
        return cells.indices.map { column in
            let space = String(repeating: " ", count: max(widths[column] - cells[column].count, 0))
            if flushRight.contains(column) { return space + cells[column] }
            return column == last ? cells[column] : cells[column] + space
        }.joined(separator: " ")
    }

    /// Live, Inactive, suspended, read-only or read-write.
    private static func attributes(_ device: TargetInterface.Device) -> String {
        (device.liveTable ? "L" : "-") + (device.inactiveTable ? "I" : "-") + (device.suspended ? "s" : "-")
            + (device.readOnly ? "r" : "w")
    }

    /// `snapshot         v1.16.0`.
    static func targetType(_ type: TargetInterface.TargetType) -> String {
        let space = String(repeating: " ", count: max(16 - type.name.count, 0))
        return "\(type.name)\(space) v\(type.version.map(String.init).joined(separator: "."))"
    }

    /// `2026-11-21T04:58:27Z home mergeProgress 40% merged`.
    static func event(_ event: TargetInterface.Event) -> String {
        let words = [UTCTime.text(seconds: event.time), event.device, event.kind.rawValue]
        return StandardStreams.visible((words + (event.text.isEmpty ? [] : [event.text])).joined(separator: " "))
    }
}
