import Dispatch
import FoundationEssentials
import Glibc
import Synchronization
import SystemPackage
import Testing
import UnixSockets

@testable import Varlink

@Suite("Listening sockets")
struct SocketFileTests {
    private func makeService() -> VarlinkService {
        VarlinkService(info: VarlinkServiceInfo(vendor: "v", product: "p", version: "1", url: ""), interfaces: [])
    }

    private func ping(_ path: FilePath) throws {
        struct Info: Decodable { var vendor: String }
        let _: Info = try VarlinkConnection(path: path).call("org.varlink.service.GetInfo", Nothing())
    }

    @Test("The socket has the mode asked for, and shutdown leaves nothing behind")
    func modeAndRemoval() throws {
        let test = try TestService()
        var status = stat()
        #expect(lstat(test.folder.socket.string, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        #expect(try test.folder.contents == ["socket", "socket.lock"])
        #expect(test.shutDownAndWait())
        #expect(try test.folder.contents == [])
        let error = try #require(throws: VarlinkConnectionError.self) { try test.connect() }
        #expect(error.errno == .noSuchFileOrDirectory)
        #expect(error.description.contains(test.folder.socket.string))
    }

    @Test("A second service on a path is refused, and the first goes on")
    func twoServices() throws {
        let test = try TestService()
        let error = try #require(throws: VarlinkConnectionError.self) {
            try makeService().listen(path: test.folder.socket, mode: .ownerReadWrite)
        }
        #expect(error.code == .addressInUse)
        try ping(test.folder.socket)
    }

    @Test("A service that answers without holding the lock is not replaced")
    func foreignService() throws {
        let test = try TestService()
        #expect(unlink("\(test.folder.socket.string).lock") == 0)
        let error = try #require(throws: VarlinkConnectionError.self) {
            try makeService().listen(path: test.folder.socket, mode: .ownerReadWrite)
        }
        #expect(error.code == .addressInUse)
        #expect(error.description.contains("answers"))
        #expect(try test.folder.contents == ["socket"])
        try ping(test.folder.socket)
    }

    @Test("A socket without an owner is replaced")
    func staleSocket() throws {
        let folder = try TemporaryFolder()
        let dead = try SocketCalls.makeSocket(nonblocking: false)
        try SocketCalls.bind(dead, to: folder.socket)
        try #require(listen(dead, 1) == 0)
        SocketCalls.close(dead)
        let service = makeService()
        try service.listen(path: folder.socket, mode: .ownerReadWrite)
        try ping(folder.socket)
        service.shutdown()
    }

    @Test("A file that is not a socket is left alone")
    func notASocket() throws {
        let folder = try TemporaryFolder()
        try Data("precious".utf8).write(to: URL(filePath: folder.socket.string))
        let error = try #require(throws: VarlinkConnectionError.self) {
            try makeService().listen(path: folder.socket, mode: .ownerReadWrite)
        }
        #expect(error.code == .addressInUse)
        #expect(try folder.contents == ["socket"])
        #expect(try Data(contentsOf: URL(filePath: folder.socket.string)) == Data("precious".utf8))
    }

    @Test("Of many services started at once on a stale socket exactly one gets it")
    func race() throws {
        for _ in 0..<20 {
            let folder = try TemporaryFolder()
            let dead = try SocketCalls.makeSocket(nonblocking: false)
            try SocketCalls.bind(dead, to: folder.socket)
            SocketCalls.close(dead)
            let winners = Mutex<[VarlinkService]>([])
            DispatchQueue.concurrentPerform(iterations: 8) { _ in
                let service = makeService()
                if (try? service.listen(path: folder.socket, mode: .ownerReadWrite)) != nil {
                    winners.withLock { $0.append(service) }
                }
            }
            let all = winners.withLock { $0 }
            #expect(all.count == 1)
            try ping(folder.socket)
            let done = Signal()
            all.first?.shutdown { done.fire() }
            #expect(done.wait())
            #expect(try folder.contents == [])
        }
    }

    @Test("A socket that somebody put in place of ours is not removed at shutdown")
    func replacedSocket() throws {
        let test = try TestService()
        #expect(unlink(test.folder.socket.string) == 0)
        let other = try SocketCalls.makeSocket(nonblocking: false)
        defer { SocketCalls.close(other) }
        try SocketCalls.bind(other, to: test.folder.socket)
        #expect(test.shutDownAndWait())
        #expect(try test.folder.contents == ["socket"])
    }

    @Test("A listening socket made by somebody else is served and its file left alone")
    func activation() throws {
        let test = try TestService(listen: false)
        let descriptor = try SocketCalls.makeSocket(nonblocking: false)
        try SocketCalls.bind(descriptor, to: test.folder.socket)
        try #require(listen(descriptor, 8) == 0)
        try test.service.listen(descriptor: FileDescriptor(rawValue: descriptor))
        try ping(test.folder.socket)
        #expect(test.shutDownAndWait())
        #expect(try test.folder.contents == ["socket"])
    }

    @Test("Paths that cannot be are named with the reason")
    func badPaths() throws {
        let long = FilePath("/tmp/" + String(repeating: "x", count: 120))
        let error = try #require(throws: VarlinkConnectionError.self) { try VarlinkConnection(path: long) }
        #expect(error.errno == .fileNameTooLong)
        let folder = try TemporaryFolder()
        let missing = try #require(throws: VarlinkConnectionError.self) {
            try makeService().listen(path: folder.path.appending("no/socket"), mode: .ownerReadWrite)
        }
        #expect(missing.errno == .noSuchFileOrDirectory)
    }

    @Test("Shutdown closes the connections and ends the calls that wait")
    func shutdownEndsCalls() throws {
        let test = try TestService()
        let connection = try test.connect()
        let failed = Collector<VarlinkConnectionError.Code?>()
        Thread.detach {
            do throws(VarlinkCallError) {
                let _: Nothing = try connection.call("io.ucopyd.test.Park", Nothing())
            } catch {
                failed.add(error.failed?.code)
            }
        }
        #expect(test.parked.wait { _ in true })
        #expect(test.shutDownAndWait())
        #expect(failed.wait { $0 == .closed })
        #expect(test.parked.all.first?.isCancelled == true)
        #expect(test.service.connectionCount == 0)
    }
}
