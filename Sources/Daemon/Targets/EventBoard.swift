import ControlAPI
import Dispatch
import Glibc
import Logging
import Varlink

/// What happens to mapped devices: it is numbered here, logged, and told to everybody who waits for it.
///
/// `@unchecked Sendable`: everything but `queue` and `logger` is used on `queue` only.
final class EventBoard: @unchecked Sendable {
    typealias Event = TargetInterface.Event
    typealias EventKind = TargetInterface.EventKind

    /// What is known of a device.
    private struct Record {
        var name: String
        var uuid: String?
        /// The device's events as the kernel counts them.
        var eventNumber = 0
        /// While it is being made: what its targets have to say.
        var early: [(kind: EventKind, text: String, details: [String: TargetInterface.Detail])]? = []
        /// The last event of each kind since a table was loaded last.
        var latest: [EventKind: Event] = [:]
        var waiters: [EventWaiter] = []
        var watchers: [VarlinkCall] = []
    }

    let queue = DispatchQueue(label: "events")
    private let logger: Logger
    private var records: [Int: Record] = [:]
    /// Those who want to hear of all devices.
    private var watchers: [VarlinkCall] = []
    private var number = 0
    private var isStopped = false

    init(_ logger: Logger) { self.logger = logger }

    // MARK: What happens

    /// A device is being made. Nothing is told of it before `created`.
    func expect(_ device: Int, name: String, uuid: String?) {
        queue.async { [self] in records[device] = Record(name: name, uuid: uuid) }
    }

    /// A device is there: tells of that, and of what its targets had to say while it was being made.
    func created(_ device: Int) {
        queue.async { [self] in
            guard let early = records[device]?.early else { return }
            records[device]?.early = nil
            tell(device, .created)
            for event in early { tell(device, event.kind, event.text, event.details) }
        }
    }

    /// A device has been given a uuid.
    func identified(_ device: Int, uuid: String) {
        queue.async { [self] in
            records[device]?.uuid = uuid
            tell(device, .renamed, "its uuid is \(uuid)")
        }
    }

    /// Something has happened to a device.
    /// - Parameters:
    ///   - eventNumber: how many events of the kernel's kind it has had.
    ///   - details: what its targets tell of themselves.
    ///   - name: what it is called from now on, where that has changed.
    func post(
        _ device: Int, _ kind: EventKind, _ text: String = "", eventNumber: Int,
        details: [String: TargetInterface.Detail] = [:], name: String? = nil
    ) {
        queue.async { [self] in
            records[device]?.eventNumber = eventNumber
            if let name { records[device]?.name = name }
            if kind == .loaded { records[device]?.latest = [:] }
            tell(device, kind, text, details)
        }
    }

    /// A device is no more.
    func removed(_ device: Int, eventNumber: Int) {
        queue.async { [self] in
            records[device]?.eventNumber = eventNumber
            tell(device, .removed)
            guard let record = records.removeValue(forKey: device) else { return }
            for waiter in record.waiters { waiter.call.fail(waiter.failure.varlinkError) }
            for watcher in record.watchers { watcher.reply(TargetInterface.Events.Reply(event: nil)) }
        }
    }

    /// Drops what is known of a device that was not made.
    func forget(_ device: Int) {
        queue.async { [self] in if records[device]?.early != nil { records[device] = nil } }
    }

    /// Ends all waiting, now and from now on; calls back when everybody was told.
    func stop(_ completion: @escaping @Sendable () -> Void) {
        queue.async { [self] in
            isStopped = true
            let all = records
            records = [:]
            for record in all.values {
                for waiter in record.waiters { waiter.call.fail(TargetInterface.Failure.stopping.varlinkError) }
            }
            for watcher in watchers + all.values.flatMap(\.watchers) {
                watcher.reply(TargetInterface.Events.Reply(event: nil))
            }
            watchers = []
            completion()
        }
    }

    private func tell(
        _ device: Int, _ kind: EventKind, _ text: String = "", _ details: [String: TargetInterface.Detail] = [:]
    ) {
        guard let record = records[device] else { return }
        guard record.early == nil else {
            if kind.isTargets { records[device]?.early?.append((kind, text, details)) }
            return
        }
        number += 1
        let event = Event(
            number: number, time: Self.now(), device: record.name, uuid: record.uuid, kind: kind, text: text,
            eventNumber: record.eventNumber, details: details)
        log(event)
        records[device]?.latest[kind] = event
        for watcher in watchers + record.watchers {
            watcher.reply(TargetInterface.Events.Reply(event: event), continues: true)
        }
        records[device]?.waiters.removeAll { $0.take(event) }
    }

    private func log(_ event: Event) {
        var metadata: Logger.Metadata = ["device": "\(event.device)"]
        if let uuid = event.uuid { metadata["uuid"] = "\(uuid)" }
        if !event.text.isEmpty { metadata["text"] = "\(event.text)" }
        logger.log(level: event.kind.logLevel, "\(event.kind.sentence)", metadata: metadata)
    }

    private static func now() -> Double {
        var time = timespec()
        // With this clock and a valid address it cannot fail.
        clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    // MARK: Who wants to know

    /// Answers a call when its condition holds.
    func wait(_ waiter: EventWaiter, for device: Int) {
        queue.async { [self] in
            guard !isStopped else { return waiter.call.fail(TargetInterface.Failure.stopping.varlinkError) }
            guard let record = records[device], record.early == nil else {
                return waiter.call.fail(waiter.failure.varlinkError)
            }
            guard !waiter.isContent(eventNumber: record.eventNumber, latest: record.latest) else { return }
            records[device]?.waiters.append(waiter)
            waiter.call.onCancel { [self] in
                queue.async { [self] in records[device]?.waiters.removeAll { $0.call === waiter.call } }
            }
        }
    }

    /// Tells a call of all events, of one device (by what the caller named it) or of all.
    func watch(_ call: VarlinkCall, _ device: (number: Int, name: String)?) {
        queue.async { [self] in
            guard !isStopped else { return call.fail(TargetInterface.Failure.stopping.varlinkError) }
            if let device, records[device.number] == nil {
                return call.fail(TargetInterface.Failure.noSuchDevice(device: device.name).varlinkError)
            }
            call.reply(TargetInterface.Events.Reply(event: nil), continues: true)
            if let device { records[device.number]?.watchers.append(call) } else { watchers.append(call) }
            call.onCancel { [self] in
                queue.async { [self] in
                    watchers.removeAll { $0 === call }
                    if let device { records[device.number]?.watchers.removeAll { $0 === call } }
                }
            }
        }
    }
}

/// A call of `Wait`.
struct EventWaiter: Sendable {
    let call: VarlinkCall
    /// What the caller named the device.
    let device: String
    /// What the event number has to differ from.
    let eventNumber: Int
    /// The kinds that are waited for instead.
    let until: Set<TargetInterface.EventKind>?

    /// What is answered where the device is no more.
    var failure: TargetInterface.Failure { .noSuchDevice(device: device) }

    /// Answers the call if what it waits for has happened; whether it did.
    func isContent(eventNumber: Int, latest: [TargetInterface.EventKind: TargetInterface.Event]) -> Bool {
        if let until {
            let last = until.compactMap { latest[$0] }.max { $0.number < $1.number }
            guard let last else { return false }
            call.reply(TargetInterface.Wait.Reply(eventNumber: eventNumber, event: last))
            return true
        }
        guard eventNumber != self.eventNumber else { return false }
        call.reply(TargetInterface.Wait.Reply(eventNumber: eventNumber, event: nil))
        return true
    }

    /// Takes an event; whether it was waited for, and the call has been answered.
    func take(_ event: TargetInterface.Event) -> Bool {
        let isLast = until.map { $0.contains(event.kind) } ?? (event.eventNumber != eventNumber)
        if isLast || call.more {
            call.reply(
                TargetInterface.Wait.Reply(eventNumber: event.eventNumber, event: event), continues: !isLast)
        }
        return isLast
    }
}

extension TargetInterface.EventKind {
    /// How much it matters to whoever reads the log.
    fileprivate var logLevel: Logger.Level {
        switch self {
        case .invalidated, .overflow, .held, .detached, .mergeFailed, .flushFailed: .warning
        case .fill, .mergeProgress: .info
        default: .notice
        }
    }

    /// Whether it happens to a target.
    fileprivate var isTargets: Bool {
        switch self {
        case .invalidated, .overflow, .held, .released, .detached, .fill, .mergeProgress, .mergeFinished, .mergeFailed:
            true
        default: false
        }
    }

    /// For the log.
    fileprivate var sentence: String {
        switch self {
        case .created: "device created"
        case .removed: "device removed"
        case .renamed: "device renamed"
        case .suspended: "device suspended"
        case .resumed: "device resumed"
        case .loaded: "table loaded"
        case .cleared: "table dropped"
        case .removalDeferred: "device is removed when nobody uses it"
        case .resized: "device has another size"
        case .flushFailed: "what was written could not be made durable"
        case .invalidated: "snapshot is invalid"
        case .overflow: "store is full"
        case .held: "store is full, writers wait"
        case .released: "store has grown, writers go on"
        case .detached: "store is full, snapshot has ended"
        case .fill: "store fills"
        case .mergeProgress: "merge goes on"
        case .mergeFinished: "merge has finished"
        case .mergeFailed: "merge has failed"
        }
    }
}
