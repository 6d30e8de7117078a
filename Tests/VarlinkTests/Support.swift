import Dispatch
import FoundationEssentials
import Glibc
import Synchronization
import SystemPackage
import Testing
import UnixSockets

@testable import Varlink

/// A folder for one test's sockets, removed with it.
final class TemporaryFolder: Sendable {
    let path: FilePath

    init() throws {
        var template = Array("/tmp/varlink-test-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        path = FilePath(String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self))
    }

    deinit {
        // A test that leaves something unexpected behind has said so already.
        for name in (try? FileManager.default.contentsOfDirectory(atPath: path.string)) ?? [] {
            unlink(path.appending(name).string)
        }
        rmdir(path.string)
    }

    var socket: FilePath { path.appending("socket") }

    var contents: [String] { get throws { try FileManager.default.contentsOfDirectory(atPath: path.string).sorted() } }
}

/// Something that happens once or several times, and can be waited for.
final class Signal: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)

    func fire() { semaphore.signal() }

    /// Waits for one firing; false when it does not come.
    func wait(seconds: Int = 120) -> Bool { semaphore.wait(timeout: .now() + .seconds(seconds)) == .success }
}

/// Collects values from any thread and lets a test wait for one that it looks for.
final class Collector<Value: Sendable>: Sendable {
    private let values = Mutex<[Value]>([])
    private let arrived = Signal()

    func add(_ value: Value) {
        values.withLock { $0.append(value) }
        arrived.fire()
    }

    func removeAll() -> [Value] {
        values.withLock { values in
            defer { values = [] }
            return values
        }
    }

    var all: [Value] { values.withLock { $0 } }

    /// Waits until there are `count` values.
    func wait(count: Int) -> Bool {
        while true {
            if all.count >= count { return true }
            guard arrived.wait() else { return false }
        }
    }

    /// Waits until a value fits.
    func wait(for fits: (Value) -> Bool) -> Bool {
        while true {
            if all.contains(where: fits) { return true }
            guard arrived.wait() else { return false }
        }
    }
}

struct Text: Codable, Equatable { var text: String }
struct Number: Codable, Equatable { var value: Int }
struct Nothing: Codable, Equatable {}
struct Sizes: Codable, Equatable {
    struct Item: Codable, Equatable { var size: Int }
    struct Nested: Codable, Equatable { var list: [Item] }
    var nested: Nested
}

let testDescription = """
    # For tests.
    interface io.ucopyd.test

    type Item (size: int)

    # Gives back what it gets.
    method Echo(text: string) -> (text: string)
    # Counts from 1.
    method Count(value: int) -> (value: int)
    method Sizes(nested: (list: []Item)) -> (value: int)
    method Refuse() -> ()
    method Forget() -> ()
    method Park() -> ()
    method Flood(value: int) -> ()
    method Descriptors(value: int) -> (value: int)
    method Missing() -> ()

    error Refused (reason: string)
    error InternalError (reason: string)

    """

/// A service with the test interface, shut down with the test.
final class TestService: Sendable {
    let folder: TemporaryFolder
    let service: VarlinkService
    let events = Collector<VarlinkEvent>()
    /// Calls of `Park`, which nobody answers until the test does.
    let parked = Collector<VarlinkCall>()
    /// What `Echo` was called with, in order.
    let echoed = Collector<String>()

    init(
        limits: VarlinkLimits = VarlinkLimits(), listen: Bool = true, methods extra: [String: VarlinkHandler] = [:]
    ) throws {
        folder = try TemporaryFolder()
        let methods = Self.methods(parked: parked, echoed: echoed).merging(extra) { $1 }
        let interface = try VarlinkInterface(testDescription, methods: methods)
        service = VarlinkService(
            info: VarlinkServiceInfo(vendor: "ucopyd", product: "test", version: "1", url: "https://example.org"),
            interfaces: [interface], limits: limits, onEvent: { [events] in events.add($0) })
        if listen { try service.listen(path: folder.socket, mode: [.ownerReadWrite]) }
    }

    deinit { service.shutdown() }

    func connect() throws -> VarlinkConnection { try VarlinkConnection(path: folder.socket) }

    func connectRaw() throws -> RawSocket { try RawSocket(folder.socket) }

    func shutDownAndWait() -> Bool {
        let done = Signal()
        service.shutdown { done.fire() }
        return done.wait()
    }

    private static func methods(parked: Collector<VarlinkCall>, echoed: Collector<String>) -> [String: VarlinkHandler] {
        [
            "Echo": { call throws(VarlinkError) in
                let text = try call.decode(Text.self)
                echoed.add(text.text)
                call.reply(text)
            },
            "Count": { call throws(VarlinkError) in
                try call.expectMore()
                let end = try call.decode(Number.self).value
                for value in 1..<max(end, 1) { call.reply(Number(value: value), continues: true) }
                call.reply(Number(value: end))
            },
            "Sizes": { call throws(VarlinkError) in
                call.reply(Number(value: try call.decode(Sizes.self).nested.list.reduce(0) { $0 + $1.size }))
            },
            "Refuse": { _ throws(VarlinkError) in throw VarlinkError("io.ucopyd.test.Refused", ["reason": "as asked"])
            },
            "Forget": { _ throws(VarlinkError) in },
            "Park": { call throws(VarlinkError) in parked.add(call) },
            "Flood": { call throws(VarlinkError) in
                let text = Text(text: String(repeating: "x", count: try call.decode(Number.self).value))
                DispatchQueue.global().async {
                    while !call.isCancelled { call.reply(text, continues: true) }
                    call.reply()
                }
            },
        ]
    }
}

/// A client that sends bytes of any kind.
final class RawSocket: Sendable {
    let descriptor: CInt

    init(_ path: FilePath) throws {
        descriptor = try SocketCalls.makeSocket(nonblocking: false)
        try SocketCalls.connect(descriptor, to: path)
        // A test that waits for a reply which does not come is to fail, not to hang.
        var timeout = timeval(tv_sec: 120, tv_usec: 0)
        try #require(
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size)) == 0)
    }

    deinit { SocketCalls.close(descriptor) }

    func send(_ text: String, descriptors: [CInt] = []) throws { try send(Array(text.utf8), descriptors: descriptors) }

    func send(_ bytes: [UInt8], descriptors: [CInt] = []) throws {
        var rest = bytes[...]
        var riding = descriptors
        while !rest.isEmpty {
            rest = rest.dropFirst(try #require(try SocketCalls.send(descriptor, rest, descriptors: riding)))
            riding = []
        }
    }

    func endOutput() throws { try #require(Glibc.shutdown(descriptor, CInt(SHUT_WR)) == 0) }

    /// The next message, or nil at the connection's end.
    func receive() throws -> String? {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while true {
            let count = recv(descriptor, &byte, 1, 0)
            // With a time limit this call is not begun again by the kernel, and a ring's work interrupts like a signal.
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == ECONNRESET { return nil }
            try #require(count >= 0, "no reply came: \(Errno(rawValue: errno))")
            if count == 0 { return nil }
            if byte == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(byte)
        }
    }
}

/// Lets the process have as many descriptors as it may.
func raiseDescriptorLimit() throws -> Int {
    var limit = rlimit()
    try #require(getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
    limit.rlim_cur = min(limit.rlim_max, 1 << 20)
    try #require(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
    return Int(clamping: limit.rlim_cur)
}

/// How many descriptors of this process lead to the file that `descriptor` leads to.
func descriptorCount(sameFileAs identity: FileIdentity) throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count { name in
        guard let number = CInt(name) else { return false }
        return FileIdentity(number) == identity
    }
}

struct FileIdentity: Equatable, Sendable {
    var device: dev_t
    var inode: ino_t

    init?(_ descriptor: CInt) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        device = status.st_dev
        inode = status.st_ino
    }
}

extension VarlinkCallError {
    var replied: VarlinkError? {
        if case .reply(let error) = self { return error }
        return nil
    }

    var failed: VarlinkConnectionError? {
        if case .connection(let error) = self { return error }
        return nil
    }
}
