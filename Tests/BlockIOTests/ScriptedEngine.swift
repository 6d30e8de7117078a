import Glibc
import SystemPackage

@testable import BlockIO

/// An engine without a system below it: a test takes what was handed over and answers it as it likes.
final class ScriptedEngine: IOEngine {
    struct Prepared {
        var operation: IOOperation
        var tag: UInt64
        var linked: Bool
    }

    let depth = 16
    var onCompletions: ((UnsafeBufferPointer<RawCompletion>) -> Void)?
    var onReady: (() -> Void)?

    /// What the device holds.
    var device: [UInt8] = []
    /// What was handed over and not answered, the oldest first.
    private(set) var prepared: [Prepared] = []
    private(set) var submits = 0
    private(set) var slots: Set<Int32> = []

    func attach(_ device: BlockDevice) -> AttachedDevice {
        AttachedDevice(descriptor: device.descriptor.rawValue, slot: -1)
    }
    func detach(_ device: AttachedDevice) {}
    func attach(_ memory: PageMemory) -> Int32 {
        let slot = (slots.max() ?? 40) + 1
        slots.insert(slot)
        return slot
    }
    func detach(memorySlot: Int32) { slots.remove(memorySlot) }
    func prepare(_ operation: IOOperation, tag: UInt64, linked: Bool) {
        prepared.append(Prepared(operation: operation, tag: tag, linked: linked))
    }
    func submit() { submits += 1 }
    func takeCompletions() -> Bool { false }
    func wait(count: Int, nanoseconds: UInt64) -> Bool { false }
    func interrupt() {}
    func shutdown() {}

    /// An answer to one operation.
    enum Answer {
        /// As many bytes are moved, or all of it.
        case bytes(Int)
        case all
        /// An error number.
        case error(Int32)
    }

    /// Takes the oldest operation whose kind is given.
    func take(_ kind: IOOperation.Kind) -> Prepared? {
        prepared.firstIndex { $0.operation.kind == kind }.map { prepared.remove(at: $0) }
    }

    /// Answers operations that were taken, in one batch.
    func answer(_ answers: (Prepared, Answer)...) {
        let completions = answers.map { prepared, answer in
            RawCompletion(tag: prepared.tag, result: perform(prepared.operation, answer))
        }
        completions.withUnsafeBufferPointer { onCompletions?($0) }
    }

    private func perform(_ operation: IOOperation, _ answer: Answer) -> Int32 {
        let count: Int
        switch answer {
        case .error(let number): return -number
        case .bytes(let bytes): count = bytes
        case .all: count = operation.length
        }
        let range = Int(operation.offset)..<Int(operation.offset) + count
        switch operation.kind {
        case .read:
            operation.memory?.address.copyMemory(from: Array(device[range]), byteCount: count)
        case .write:
            if let memory = operation.memory {
                device.replaceSubrange(range, with: UnsafeRawBufferPointer(start: memory.address, count: count))
            }
        case .writeZeroes, .discard:
            device.replaceSubrange(range, with: repeatElement(0, count: count))
            return 0
        case .flush, .pollIn, .pollOut: return 0
        }
        return Int32(count)
    }
}

/// Notes what a queue tells.
final class EndRecorder: IOQueueClient {
    struct End: Equatable {
        var token: UInt64
        var errno: Int32

        init(_ token: UInt64, _ errno: Int32) {
            self.token = token
            self.errno = errno
        }
    }

    private(set) var ends: [End] = []
    private(set) var batches = 0
    private(set) var readies = 0

    func operationEnded(token: UInt64, errno: Int32) { ends.append(End(token, errno)) }
    func batchEnded() { batches += 1 }
    func ready() { readies += 1 }
}
