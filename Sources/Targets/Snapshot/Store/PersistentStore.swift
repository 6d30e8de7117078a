import SystemPackage
import BlockIO
import DequeModule
import Glibc

/// Exceptions kept on the store's device, in the kernel's format, while the snapshot is in use.
///
/// Finished copies wait in line while a commit is on its way, and go all together into the next one: a commit that has
/// nothing to wait for starts at once, and under load a batch is as large as what finished during the last one. A
/// commit flushes the device, which makes the copied data durable, and then writes the changed blocks of the area with
/// forced unit access. Where the area becomes full the next one is zeroed before that flush: a reader goes on to it.
final class PersistentStore: ExceptionStore {
    private struct Waiting {
        var run: ExceptionRun
        let done: (Bool) -> Void
    }

    /// Slots that one commit fills at most: 64 KiB of an area.
    private static let mostSlots: UInt64 = 4096
    /// How often the header of an invalid snapshot is written before that is given up.
    private static let mostAttempts = 3

    var device: any TargetDevice
    private(set) var cursor: SlotCursor
    private let environment: any TargetEnvironment
    /// Unit in which areas are written, in bytes.
    let unit: Int
    /// The blocks that a commit writes; the first one begins with what was written of it before.
    private let memory: PageMemory
    private var waiting: Deque<Waiting> = []
    private var isCommitting = false
    private var isDue = false
    /// Whether the header of an invalid snapshot is being written.
    private var isNoting = false
    /// Whether a write has failed, or the snapshot is invalid: nothing is written to the areas any more.
    private var isClosed = false
    /// Whether what lies behind the used slots of the area has to be zeroed first.
    private var hasStaleTail: Bool
    private var idle: [() -> Void] = []
    /// Entries whose slots were to be emptied by a write that failed: nobody knows whether they are.
    private var unclear: [ExceptionEntry] = []
    /// Whether `memory` holds blocks that a merge has read and has not cleared.
    private var holdsMerge = false
    private lazy var transfer = DeviceIO()

    let canMerge = true
    var onFailure: ((_ reason: String) -> Void)?

    /// A store that was loaded from `device`.
    /// - Throws: `noMemory`.
    init(_ loaded: LoadedStore, device: any TargetDevice, environment: any TargetEnvironment) throws(TargetError) {
        self.device = device
        self.environment = environment
        cursor = loaded.cursor
        hasStaleTail = loaded.hasStaleTail
        unit = loaded.geometry.writeUnit(logicalBlock: device.logicalBlockSectors)
        let pages = (Int(Self.mostSlots) * ExceptionEntry.size + unit + Page.size - 1) / Page.size
        do { memory = try PageMemory(pages: pages) } catch { throw TargetError(error) }
        keepTail(of: loaded)
    }

    /// Takes over what is on the device of the block that the next slot lies in.
    private func keepTail(of loaded: LoadedStore) {
        let length = Int(cursor.used) * ExceptionEntry.size % unit
        precondition(loaded.tail.count == length, "\(loaded.tail.count) bytes of a block that has \(length)")
        memset(memory.base, 0, memory.length)
        loaded.tail.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress { memory.base.copyMemory(from: base, byteCount: length) }
        }
    }

    var chunkSectors: UInt64 { cursor.geometry.chunkSectors }
    var usage: (allocated: UInt64, metadata: UInt64) { (cursor.allocatedSectors, cursor.metadataSectors) }

    // MARK: Giving away

    func allocate(_ count: UInt64, sectors: UInt64) -> (first: UInt64, count: UInt64)? {
        guard !isClosed, unclear.isEmpty, let first = cursor.allocate(sectors: sectors) else { return nil }
        var given: UInt64 = 1
        while given < count, cursor.nextFree == first + given, cursor.allocate(sectors: sectors) != nil { given += 1 }
        return (first, given)
    }

    func canAllocate(_ count: UInt64, sectors: UInt64) -> Bool {
        guard !isClosed, unclear.isEmpty else { return false }
        // Giving away skips metadata and stops at the last slot without a successor: it is tried on a copy.
        var trial = cursor
        return (0..<count).allSatisfy { _ in trial.allocate(sectors: sectors) != nil }
    }

    func abandon(_ count: UInt64) { cursor.abandon(count) }

    // MARK: Committing

    func commit(_ run: ExceptionRun, done: @escaping (Bool) -> Void) {
        waiting.append(Waiting(run: run, done: done))
        guard !isCommitting, !isDue else { return }
        // What ends together with it goes along.
        isDue = true
        environment.afterBatch { [self] in
            isDue = false
            if !isCommitting { startCommit() }
        }
    }

    /// The slots and callbacks of a commit that is on its way.
    private struct Batch {
        var slots: UInt64 = 0
        var done: [(Bool) -> Void] = []
        var fillsArea = false
    }

    private func startCommit() {
        guard !waiting.isEmpty else { return becomeIdle() }
        isCommitting = true
        guard !isClosed else { return refuseAll() }
        if holdsMerge { return readTail() }
        let used = Int(cursor.used) * ExceptionEntry.size
        let start = used / unit * unit
        var batch = Batch()
        let limit = min(cursor.roomInArea, Self.mostSlots)
        while batch.slots < limit, var next = waiting.first {
            let count = min(next.run.length, limit - batch.slots)
            for index in 0..<count {
                let offset = used - start + Int(batch.slots + index) * ExceptionEntry.size
                let place = UnsafeMutableRawBufferPointer(start: memory.base + offset, count: ExceptionEntry.size)
                ExceptionEntry(old: next.run.old + index, new: next.run.new + index).encode(into: place, slot: 0)
            }
            batch.slots += count
            waiting.removeFirst()
            if count == next.run.length {
                batch.done.append(next.done)
            } else {
                next.run = ExceptionRun(
                    old: next.run.old + count, new: next.run.new + count, length: next.run.length - count)
                waiting.prepend(next)
            }
        }
        batch.fillsArea = batch.slots == cursor.roomInArea
        clearStaleTail(batch, start: start, length: used - start + Int(batch.slots) * ExceptionEntry.size)
    }

    /// After a merge that was broken off: the block in which the next slot lies.
    private func readTail() {
        let used = Int(cursor.used) * ExceptionEntry.size
        let start = used / unit * unit
        let slice = MemorySlice(address: memory.base, slot: -1)
        let length = used > start ? unit : 0
        run(.read, offset: areaOffset + UInt64(start), length: length, memory: slice, "read an area") { [self] in
            memset(memory.base + (used - start), 0, memory.length - (used - start))
            holdsMerge = false
            startCommit()
        } failed: {
            self.fail(Batch(), $0)
        }
    }

    /// Before the first commit: zeroes over what a power cut has left behind the used slots.
    private func clearStaleTail(_ batch: Batch, start: Int, length: Int) {
        guard hasStaleTail else { return zeroNextArea(batch, start: start, length: length) }
        // From the device's block behind the one that holds the next slot: that one the commit writes, whole or not at all.
        // Of more than one any may be lost with the power.
        let block = Int(device.logicalBlockSectors) << Sector.shift
        let from = UInt64((Int(cursor.used) * ExceptionEntry.size + block - 1) / block * block)
        let end = cursor.geometry.chunkBytes
        run(.writeZeroes, offset: areaOffset + from, length: Int(end - min(from, end)), "clear an area") { [self] in
            // What is cleared has to be so before a slot of the list can lead there.
            run(.flush, "flush") { [self] in
                hasStaleTail = false
                zeroNextArea(batch, start: start, length: length)
            } failed: {
                self.fail(batch, $0)
            }
        } failed: {
            self.fail(batch, $0)
        }
    }

    private func zeroNextArea(_ batch: Batch, start: Int, length: Int) {
        guard batch.fillsArea else { return flushData(batch, start: start, length: length) }
        let next = cursor.geometry.areaSector(cursor.area + 1) << UInt64(Sector.shift)
        run(.writeZeroes, offset: next, length: Int(cursor.geometry.chunkBytes), "zero the next area") { [self] in
            flushData(batch, start: start, length: length)
        } failed: {
            self.fail(batch, $0)
        }
    }

    private func flushData(_ batch: Batch, start: Int, length: Int) {
        run(.flush, "flush") { [self] in
            let blocks = (length + unit - 1) / unit * unit
            let slice = MemorySlice(address: memory.base, slot: -1)
            run(.write, offset: areaOffset + UInt64(start), length: blocks, memory: slice, "write an area") { [self] in
                finish(batch, length: length)
            } failed: {
                self.fail(batch, $0)
            }
        } failed: {
            self.fail(batch, $0)
        }
    }

    private func finish(_ batch: Batch, length: Int) {
        cursor.place(batch.slots)
        // The block in which the next slot lies moves to the front.
        let whole = batch.fillsArea ? length : length / unit * unit
        let rest = length - whole
        if whole > 0 {
            memmove(memory.base, memory.base + whole, rest)
            memset(memory.base + rest, 0, max(length, unit) - rest)
        }
        isCommitting = false
        for done in batch.done { done(true) }
        if !isCommitting { startCommit() }
    }

    private func fail(_ batch: Batch, _ reason: String) {
        close()
        cursor.abandon(batch.slots)
        onFailure?(reason)
        for done in batch.done { done(false) }
        refuseAll()
    }

    /// Nothing can be committed any more.
    private func refuseAll() {
        while let next = waiting.popFirst() {
            cursor.abandon(next.run.length)
            next.done(false)
        }
        isCommitting = false
        becomeIdle()
    }

    private func close() { isClosed = true }

    private var areaOffset: UInt64 { cursor.geometry.areaSector(cursor.area) << UInt64(Sector.shift) }

    // MARK: The end of a snapshot

    func invalidate(_ done: @escaping (Bool) -> Void) {
        close()
        // The one transfer at a time that the store has may be under way.
        whenIdle { [self] in
            isNoting = true
            writeInvalidHeader(attempt: 1) { [self] isDurable in
                isNoting = false
                done(isDurable)
                becomeIdle()
            }
        }
    }

    private func writeInvalidHeader(attempt: Int, _ done: @escaping (Bool) -> Void) {
        let size = min(memory.length, Int(min(cursor.geometry.chunkBytes, UInt64(unit))))
        let header = StoreHeader(chunkSectors: chunkSectors, isValid: false)
        header.encode(into: UnsafeMutableRawBufferPointer(start: memory.base, count: size))
        let failed: (String) -> Void = { [self] _ in
            guard attempt < Self.mostAttempts else { return done(false) }
            writeInvalidHeader(attempt: attempt + 1, done)
        }
        let slice = MemorySlice(address: memory.base, slot: -1)
        run(.write, offset: 0, length: size, memory: slice, "write the header") { [self] in
            run(.flush, "flush") {
                done(true)
            } failed: {
                failed($0)
            }
        } failed: {
            failed($0)
        }
    }

    func whenIdle(_ body: @escaping () -> Void) {
        // Behind those who wait already, though the store may be idle just now.
        if isIdle, idle.isEmpty { body() } else { idle.append(body) }
    }

    func move(to device: any TargetDevice, _ exceptions: ExceptionTable) {
        self.device = device
        // After a merge the kernel's way of counting, which goes by slots, may name chunks that are in use.
        var end: UInt64 = 0
        exceptions.forEachRun { run in end = max(end, run.new + run.length) }
        cursor.skip(to: end)
    }

    private func becomeIdle() {
        // One of those who wait may begin something that the next ones have to wait for.
        while isIdle, !idle.isEmpty { idle.removeFirst()() }
    }

    private var isIdle: Bool { !isCommitting && !isNoting && waiting.isEmpty }

    // MARK: Merging

    /// The last `count` slots of the area, or of the one before where this one is empty: read, and answered in order. nil:
    /// there is no exception left. Only while nothing is committed.
    func readLastSlots(_ count: UInt64, _ done: @escaping (Result<[ExceptionEntry]?, TargetError>) -> Void) {
        // What the device says of these counts for nothing; their blocks are still in memory.
        if !unclear.isEmpty { return done(.success(unclear)) }
        var place = cursor
        if place.used == 0, !place.retreat() { return done(.success(nil)) }
        let slots = min(count, place.used, Self.mostSlots)
        let first = Int(place.used - slots) * ExceptionEntry.size
        let start = first / unit * unit
        let end = Int(place.used) * ExceptionEntry.size
        let length = (end - start + unit - 1) / unit * unit
        let offset = place.geometry.areaSector(place.area) << UInt64(Sector.shift) + UInt64(start)
        let slice = MemorySlice(address: memory.base, slot: -1)
        run(.read, offset: offset, length: length, memory: slice, "read an area") { [self] in
            // Only now: a read that fails must not make the store go back.
            cursor = place
            holdsMerge = true
            let bytes = UnsafeRawBufferPointer(start: memory.base, count: end - start)
            let skip = (first - start) / ExceptionEntry.size
            done(.success((0..<Int(slots)).map { ExceptionEntry(decoding: bytes, slot: skip + $0) }))
        } failed: { [device] in
            done(.failure(TargetError(device.name, "merge", .ioError, $0)))
        }
    }

    /// Empties the last slots of the area, durably: those of `entries`, as they were answered by `readLastSlots`. Where that
    /// fails it has to be tried again with the same.
    func clearLastSlots(_ entries: [ExceptionEntry], _ done: @escaping (Result<Void, TargetError>) -> Void) {
        let used = Int(cursor.used) * ExceptionEntry.size
        let first = used - entries.count * ExceptionEntry.size
        let start = first / unit * unit
        let length = (used - start + unit - 1) / unit * unit
        memset(memory.base + (first - start), 0, length - (first - start))
        let slice = MemorySlice(address: memory.base, slot: -1)
        run(.write, offset: areaOffset + UInt64(start), length: length, memory: slice, "write an area") { [self] in
            cursor.clear(UInt64(entries.count))
            unclear = []
            holdsMerge = false
            memset(memory.base + (first - start), 0, memory.length - (first - start))
            done(.success(()))
        } failed: { [self] in
            unclear = entries
            done(.failure(TargetError(device.name, "merge", .ioError, $0)))
        }
    }

    // MARK: Transfers

    private func run(
        _ kind: IOOperation.Kind, offset: UInt64 = 0, length: Int = 0, memory: MemorySlice? = nil, _ what: String,
        then: @escaping () -> Void, failed: @escaping (String) -> Void
    ) {
        guard length > 0 || kind == .flush else { return then() }
        transfer.kind = kind
        transfer.offset = offset
        transfer.length = length
        transfer.memory = memory
        transfer.isFUA = kind == .write
        transfer.errno = 0
        transfer.ended = { transfer in
            transfer.ended = { _ in }
            transfer.errno == 0 ? then() : failed("\(what): \(String(cString: strerror(transfer.errno)))")
        }
        device.start(transfer)
    }
}
