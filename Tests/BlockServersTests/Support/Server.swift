import BlockIO
import Dispatch
import Glibc
import SystemPackage
import TestSupport

@testable import BlockServers

/// A listener with a queue thread of its own, which ends with the object.
final class Server<Device: ServedDevice & SendableMetatype>: Sendable {
    /// What belongs to the thread. What runs there holds this, and never the server, whose end waits for the thread.
    private final class Served: @unchecked Sendable {  // touched on the thread only
        var device: Device?
        var listener: NBDListener?
    }

    let directory: TemporaryDirectory
    let thread: QueueThread
    let path: String
    private let served = Served()

    init(
        engine: EngineChoice = .auto, limits: NBDLimits = NBDLimits(), directory: TemporaryDirectory? = nil,
        _ make: @escaping @Sendable (QueueThread) throws -> Device
    ) throws {
        let directory = try directory ?? TemporaryDirectory()
        let path = directory.file("socket")
        let thread = try QueueThread(name: "nbd-test", engine: engine)
        let failure: BlockError? = thread.sync { [served] in
            do {
                let device = try make(thread)
                served.device = device
                served.listener = try NBDListener(
                    path: FilePath(path), name: "disk", device: device, thread: thread, limits: limits)
                return nil
            } catch {
                return error as? BlockError ?? BlockError("\(error)", "make", .ioError)
            }
        }
        self.directory = directory
        self.path = path
        self.thread = thread
        if let failure { throw failure }
    }

    deinit {
        close()
        thread.sync { [served] in served.device = nil }
        thread.stop()
    }

    /// Does something on the thread.
    @discardableResult
    func on<Value: Sendable>(_ work: @escaping @Sendable (Device, NBDListener) -> Value) -> Value {
        thread.sync { [served] in
            guard let device = served.device, let listener = served.listener else {
                preconditionFailure("the server is closed")
            }
            return work(device, listener)
        }
    }

    /// Waits until something is so on the thread; false where it has not become so in half a minute.
    func wait(until condition: @escaping @Sendable (Device, NBDListener) -> Bool) -> Bool {
        let limit = thread.now + 30_000_000_000
        while thread.now < limit {
            if on(condition) { return true }
            sched_yield()
        }
        return false
    }

    /// Begins to close; the signal comes when everything has ended.
    func beginClose() -> DispatchSemaphore {
        let done = DispatchSemaphore(value: 0)
        thread.post { [served] in
            guard let listener = served.listener else { return _ = done.signal() }
            listener.close {
                served.listener = nil
                done.signal()
            }
        }
        return done
    }

    /// Closes and waits.
    func close() { beginClose().wait() }

    /// What clients are told to connect to.
    func uri(_ export: String = "") -> String { "nbd+unix:///\(export)?socket=\(path)" }
}

extension Server where Device == ImageDevice {
    /// Serves an image file of some size, or with some content.
    convenience init(
        bytes: UInt64 = 0, contents: [UInt8] = [], engine: EngineChoice = .auto, limits: NBDLimits = NBDLimits(),
        isReadOnly: Bool = false, onDisk: Bool = false
    ) throws {
        let directory = try TemporaryDirectory(onDisk: onDisk)
        let image = try directory.image("image", contents: contents, bytes: max(bytes, UInt64(contents.count)))
        try self.init(engine: engine, limits: limits, directory: directory) {
            try ImageDevice(path: image, thread: $0, isReadOnly: isReadOnly)
        }
    }

    /// The image file.
    var image: String { directory.file("image") }
}

extension Server where Device == HoldingDevice {
    /// Serves memory.
    convenience init(sectors: UInt64 = 2048, limits: NBDLimits = NBDLimits()) throws {
        try self.init(limits: limits) { _ in HoldingDevice(sectors: sectors) }
    }
}
