import BlockIO
import Glibc
import KCopy
import SystemPackage

@testable import Targets

/// What targets were told, in its order.
final class CallLog {
    var calls: [String] = []
}

/// Memory that targets have their sectors in.
final class HeldMemory {
    var bytes: [UInt8]
    /// The sector of the mapped device that it begins with.
    let start: UInt64

    init(sectors: UInt64, start: UInt64 = 0) {
        bytes = [UInt8](repeating: 0, count: Int(sectors) * Sector.size)
        self.start = start
    }
}

/// A target that keeps requests until it is told what to do with them, on a device made of memory.
final class HeldTarget: Target {
    let label: String
    let typeName = "held"
    let log: CallLog
    let range: SectorRange
    let memory: HeldMemory
    var abilities = TargetAbilities()
    /// Requests that have not ended, in the order in which they came.
    var held: [BlockRequest] = []
    /// Whether requests end as soon as they come.
    var isPrompt = false
    /// What requests end with.
    var errno: Int32 = 0
    /// Requests that it gives back when it is suspended, instead of waiting for them.
    var givesBack = false
    var refusal: TargetError?
    var onResume: (() -> Void)?
    var onEvent: ((TargetEvent) -> Void)?
    /// Whether presuspend and destroy wait for `go`.
    var isSlow = false
    private var going: [() -> Void] = []

    init(_ label: String, sectors: UInt64, start: UInt64 = 0, memory: HeldMemory? = nil, log: CallLog) {
        self.label = label
        self.log = log
        range = SectorRange(start: start, count: sectors)
        self.memory = memory ?? HeldMemory(sectors: sectors, start: start)
    }

    /// Its sectors, where it shares its memory with nobody.
    var content: [UInt8] {
        get { memory.bytes }
        set { memory.bytes = newValue }
    }

    var devices: [any TargetDevice] { [] }
    var tableText: String { "\(label) 1" }
    var statusText: String { "\(held.count)" }
    var details: [TargetDetail] { [TargetDetail("held", .number(UInt64(held.count)))] }

    func handle(_ request: BlockRequest) {
        held.append(request)
        if isPrompt { end() }
    }

    func allocation(in range: SectorRange, limit: Int) -> [Allocation] {
        [Allocation(end: range.end, isHole: label.hasPrefix("hole"), isZero: label.hasPrefix("hole"))]
    }

    /// Does what a request asks for, and ends it.
    func end(_ index: Int = 0) {
        let request = held.remove(at: index)
        if errno == 0 { transfer(request) }
        request.end(errno)
    }

    func endAll() { while !held.isEmpty { end() } }

    private func transfer(_ request: BlockRequest) {
        guard request.operation != .flush else { return log.calls.append("\(label) flush") }
        let offset = Int(request.sector - memory.start) * Sector.size
        let length = Int(request.count) * Sector.size
        memory.bytes.withUnsafeMutableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            switch request.operation {
            case .read: request.memory?.address.copyMemory(from: base + offset, byteCount: length)
            case .write:
                if let memory = request.memory { (base + offset).copyMemory(from: memory.address, byteCount: length) }
            case .writeZeroes: memset(base + offset, 0, length)
            case .discard: memset(base + offset, 0xdd, length)
            case .flush, .pollIn, .pollOut: break
            }
        }
    }

    func presuspend(requeue: @escaping (BlockRequest) -> Void, done: @escaping () -> Void) {
        log.calls.append("\(label) presuspend")
        if givesBack {
            let back = held
            held = []
            for request in back { requeue(request) }
        }
        wait(done)
    }

    func postsuspend() { log.calls.append("\(label) postsuspend") }

    func preresume() throws(TargetError) {
        log.calls.append("\(label) preresume")
        if let refusal { throw refusal }
    }

    func resume() {
        log.calls.append("\(label) resume")
        onResume?()
    }

    func message(_ words: [String]) throws(TargetError) -> String {
        if words == ["fail"] { throw TargetError(label, "message", .invalidArgument, "it is to fail") }
        return "\(label): \(words.joined(separator: "+"))"
    }

    func destroy(_ done: @escaping () -> Void) {
        log.calls.append("\(label) destroy")
        wait(done)
    }

    private func wait(_ done: @escaping () -> Void) {
        if isSlow { going.append(done) } else { done() }
    }

    /// Lets the oldest presuspend or destroy end.
    func go() { going.removeFirst()() }
}

/// An environment for targets that need none: what is asked to be done later waits for `run`.
final class StillEnvironment: TargetEnvironment {
    private var work: [() -> Void] = []

    func makeCopier(pages: Int, name: String, priority: CopyPriority) throws(TargetError) -> any ChunkCopier {
        throw TargetError(name, "copy", .notSupported, "there is no copy service here")
    }

    func detached<Value: Sendable>(
        _ work: @escaping @Sendable () -> Result<Value, TargetError>,
        then: @escaping (Result<Value, TargetError>) -> Void
    ) {
        self.work.append { then(work()) }
    }

    func after(nanoseconds: UInt64, _ work: @escaping () -> Void) -> UInt64 { 0 }
    func cancel(timer: UInt64) {}
    func afterBatch(_ work: @escaping () -> Void) { self.work.append(work) }
    func later(_ work: @escaping () -> Void) { self.work.append(work) }

    func run() {
        while !work.isEmpty { work.removeFirst()() }
    }
}
