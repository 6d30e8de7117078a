import Dispatch
import Glibc

@testable import BlockIO

/// A real engine with faults: what a `FaultPlan` says happens to operations instead of what was asked for.
///
/// What is linked stays linked: the second operation of a pair is cancelled where the plan lets the first one fail, and
/// meets its own fault only when the first one has succeeded in full.
final class FaultEngine: IOEngine {
    private struct Prepared {
        var operation: IOOperation
        var tag: UInt64
        var fault: Fault?
    }

    private let inner: any IOEngine
    private let plan: FaultPlan
    private let queue: DispatchQueue
    private var paths: [Int32: String] = [:]
    /// The first of a pair whose second has not been handed over.
    private var leader: Prepared?
    /// Seconds of pairs that meet a fault, by the tag of the first, with the first's length.
    private var behind: [UInt64: (follower: Prepared, length: Int)] = [:]
    private var corrupting: [UInt64: UnsafeMutableRawPointer] = [:]
    private var held: [[Prepared]] = []
    private var answers: [RawCompletion] = []

    var onCompletions: ((UnsafeBufferPointer<RawCompletion>) -> Void)?
    var onReady: (() -> Void)? {
        get { inner.onReady }
        set { inner.onReady = newValue }
    }
    var depth: Int { inner.depth }

    init(_ inner: any IOEngine, _ plan: FaultPlan, _ queue: DispatchQueue) {
        self.inner = inner
        self.plan = plan
        self.queue = queue
        inner.onCompletions = { [unowned self] in self.take($0) }
        nonisolated(unsafe) weak let engine = self  // used on the queue, where it belongs
        plan.setRelease { queue.async { engine?.release() } }
    }

    func attach(_ device: BlockDevice) -> AttachedDevice {
        let attached = inner.attach(device)
        paths[attached.descriptor] = device.path
        return attached
    }
    func detach(_ device: AttachedDevice) { inner.detach(device) }
    func attach(_ memory: PageMemory) -> Int32 { inner.attach(memory) }
    func detach(memorySlot: Int32) { inner.detach(memorySlot: memorySlot) }
    func submit() { inner.submit() }
    func interrupt() { inner.interrupt() }

    func shutdown() {
        precondition(held.isEmpty, "operations are held at shutdown")
        inner.onCompletions = nil
        inner.shutdown()
    }

    // MARK: Operations

    func prepare(_ operation: IOOperation, tag: UInt64, linked: Bool) {
        let access = Access(
            kind: operation.kind, path: paths[operation.device.descriptor] ?? "?", offset: Int(operation.offset),
            length: operation.length)
        let prepared = Prepared(operation: operation, tag: tag, fault: plan.note(access))
        if linked {
            leader = prepared
        } else if let first = leader {
            leader = nil
            if first.fault == .held || prepared.fault == .held {
                held.append([first, prepared])
            } else {
                start(first, prepared)
            }
        } else if prepared.fault == .held {
            held.append([prepared])
        } else {
            start(prepared)
        }
    }

    private func release() {
        let chains = held
        held = []
        for chain in chains {
            var healed = chain
            for index in healed.indices where healed[index].fault == .held { healed[index].fault = nil }
            if healed.count == 2 { start(healed[0], healed[1]) } else { start(healed[0]) }
        }
        inner.submit()
        if !answers.isEmpty { onReady?() }
    }

    private func start(_ prepared: Prepared) {
        switch prepared.fault {
        case .error(let number): answers.append(RawCompletion(tag: prepared.tag, result: -number))
        default: inner.prepare(shortened(prepared), tag: prepared.tag, linked: false)
        }
    }

    private func start(_ first: Prepared, _ second: Prepared) {
        if case .error(let number) = first.fault {
            answers.append(RawCompletion(tag: first.tag, result: -number))
            answers.append(RawCompletion(tag: second.tag, result: -ECANCELED))
        } else if case .short = first.fault {
            inner.prepare(shortened(first), tag: first.tag, linked: false)
            answers.append(RawCompletion(tag: second.tag, result: -ECANCELED))
        } else if second.fault != nil {
            behind[first.tag] = (second, first.operation.length)
            inner.prepare(shortened(first), tag: first.tag, linked: false)
        } else {
            inner.prepare(shortened(first), tag: first.tag, linked: true)
            inner.prepare(second.operation, tag: second.tag, linked: false)
        }
    }

    private func shortened(_ prepared: Prepared) -> IOOperation {
        var operation = prepared.operation
        switch prepared.fault {
        case .short(let bytes): operation.length = min(bytes, operation.length)
        case .corrupt: corrupting[prepared.tag] = operation.memory?.address
        case .error, .held, nil: break
        }
        return operation
    }

    // MARK: Completions

    private func take(_ completions: UnsafeBufferPointer<RawCompletion>) {
        var batch: [RawCompletion] = []
        for completion in completions {
            batch.append(completion)
            if let address = corrupting.removeValue(forKey: completion.tag) {
                address.storeBytes(of: address.load(as: UInt8.self) ^ 0x10, as: UInt8.self)
            }
            guard let (follower, length) = behind.removeValue(forKey: completion.tag) else { continue }
            if completion.result == length {
                start(follower)
            } else {
                answers.append(RawCompletion(tag: follower.tag, result: -ECANCELED))
            }
        }
        batch += answers
        answers = []
        batch.withUnsafeBufferPointer { onCompletions?($0) }
    }

    func takeCompletions() -> Bool {
        let some = inner.takeCompletions()
        guard !answers.isEmpty else { return some }
        take(UnsafeBufferPointer(start: nil, count: 0))
        return true
    }

    func wait(count: Int, nanoseconds: UInt64) -> Bool {
        guard answers.isEmpty else {
            inner.submit()
            return takeCompletions()
        }
        return inner.wait(count: count, nanoseconds: nanoseconds)
    }
}
