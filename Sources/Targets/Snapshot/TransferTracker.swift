/// A transfer that goes to chunks which somebody may have to keep others from: an entry of a `TransferTracker`.
///
/// Made to be used again.
final class TrackedTransfer {
    /// The chunks.
    fileprivate(set) var chunks: Range<UInt64> = 0..<0
    fileprivate var place = -1
    /// Those who wait until it has ended.
    fileprivate var waiters: [TransferWaiter] = []

    init() {}
}

/// Somebody who waits until some transfers have ended.
final class TransferWaiter {
    fileprivate var left = 0
    fileprivate let done: () -> Void

    fileprivate init(_ done: @escaping () -> Void) { self.done = done }
}

/// The transfers under way that were sent to a device on the strength of what the exceptions said at that time: reads that
/// went to the origin, writes that went to the store. Before something changes there they have to end.
///
/// There are no more of them than requests under way, so looking through all is cheap.
struct TransferTracker {
    private var active: [TrackedTransfer] = []

    /// Whether none is under way.
    var isEmpty: Bool { active.isEmpty }

    /// A transfer has begun.
    mutating func begin(_ transfer: TrackedTransfer, _ chunks: Range<UInt64>) {
        precondition(transfer.place < 0, "a transfer that is under way already")
        transfer.chunks = chunks
        transfer.place = active.count
        active.append(transfer)
    }

    /// A transfer has ended. Answers whom to call.
    mutating func end(_ transfer: TrackedTransfer) -> [() -> Void] {
        let place = transfer.place
        precondition(place >= 0, "a transfer that is not under way")
        transfer.place = -1
        let last = active.removeLast()
        if last !== transfer {
            active[place] = last
            last.place = place
        }
        guard !transfer.waiters.isEmpty else { return [] }
        var waiters: [TransferWaiter] = []
        swap(&waiters, &transfer.waiters)
        return waiters.compactMap { waiter in
            waiter.left -= 1
            return waiter.left == 0 ? waiter.done : nil
        }
    }

    /// Calls back when every transfer has ended that touches one of the chunks now; at once if there is none.
    func whenClear(_ touches: (Range<UInt64>) -> Bool, _ done: @escaping () -> Void) {
        var waiter: TransferWaiter?
        for transfer in active where touches(transfer.chunks) {
            let one = waiter ?? TransferWaiter(done)
            waiter = one
            one.left += 1
            transfer.waiters.append(one)
        }
        if waiter == nil { done() }
    }
}
