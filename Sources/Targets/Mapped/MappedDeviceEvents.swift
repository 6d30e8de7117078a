/// Something that has happened to a mapped device.
public enum MappedDeviceEvent: Hashable, Sendable {
    /// One of its targets tells something.
    case target(TargetEvent)
    /// A table waits in the inactive slot.
    case loaded
    /// The inactive slot has been emptied.
    case cleared
    /// No request is under way any more, and new ones wait.
    case suspended
    /// Requests are served.
    case resumed
    /// It has another size than before, in sectors.
    case resized(from: UInt64, to: UInt64)
    /// What was written before a suspension could not be made durable; an errno. The suspension took place.
    case flushFailed(errno: Int32)
    /// It has another name than before.
    case renamed(from: String)
    /// It will be removed as soon as nobody uses it.
    case removalDeferred
    /// It is no more.
    case removed
}

/// The event number of a mapped device, those who wait for another one, and those who want to hear of everything.
/// Belongs to a queue thread.
final class MappedDeviceEvents {
    private struct Waiter {
        let id: UInt64
        let number: UInt32
        let done: (UInt32) -> Void
    }

    /// What device-mapper counts: begins at 0, and goes on from 0 behind the largest.
    private(set) var number: UInt32 = 0
    private var waiters: [Waiter] = []
    private var observers: [(id: UInt64, told: (MappedDeviceEvent) -> Void)] = []
    private var lastID: UInt64 = 0

    private func nextID() -> UInt64 {
        lastID += 1
        return lastID
    }

    /// Counts up and wakes those who wait.
    func raise() {
        number &+= 1
        let woken = waiters.filter { $0.number != number }
        waiters.removeAll { $0.number != number }
        for waiter in woken { waiter.done(number) }
    }

    func wait(for number: UInt32, _ done: @escaping (UInt32) -> Void) -> UInt64 {
        let id = nextID()
        if self.number != number {
            done(self.number)
        } else {
            waiters.append(Waiter(id: id, number: number, done: done))
        }
        return id
    }

    func cancelWait(_ id: UInt64) { waiters.removeAll { $0.id == id } }

    func observe(_ told: @escaping (MappedDeviceEvent) -> Void) -> UInt64 {
        let id = nextID()
        observers.append((id, told))
        return id
    }

    func ignore(_ id: UInt64) { observers.removeAll { $0.id == id } }

    func tell(_ event: MappedDeviceEvent) {
        for observer in observers { observer.told(event) }
    }
}
