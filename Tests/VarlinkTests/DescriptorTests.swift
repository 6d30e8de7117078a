import Dispatch
import Glibc
import SystemPackage
import TestSupport
import Testing
import UnixSockets

@testable import Varlink

/// Both ends' copies of a pipe's writing end; the reading end tells when the last copy of it is closed, and names it by inode.
private final class ProbePipe: Sendable {
    let reading: CInt
    let writing: CInt
    let identity: FileIdentity

    init() throws {
        (reading, writing) = try Program.pipe()
        identity = try #require(FileIdentity(writing))
    }

    deinit { SocketCalls.close(reading) }

    /// Closes this end's copy and waits until nobody has another.
    func everyCopyIsClosed() -> Bool {
        SocketCalls.close(writing)
        var poll = pollfd(fd: reading, events: 0, revents: 0)
        while true {
            let count = Glibc.poll(&poll, 1, 120_000)
            if count >= 0 || errno != EINTR { return count == 1 && poll.revents & Int16(POLLHUP) != 0 }
        }
    }
}

@Suite("Descriptors passed with calls")
struct DescriptorTests {
    @Test("Descriptors arrive in order, are the handler's when taken, and are closed with the reply when not")
    func passedAndClosed() throws {
        let pipes = try (0..<3).map { _ in try ProbePipe() }
        let identities = pipes.map(\.identity)
        let taken = Collector<FileDescriptor>()
        let seen = Collector<[FileIdentity?]>()
        let test = try TestService(methods: [
            "Descriptors": { call throws(VarlinkError) in
                let middle = try call.takeDescriptor(at: 1, parameter: "value")
                let first = call.takeDescriptor(at: 0)
                seen.add([first.flatMap { FileIdentity($0.rawValue) }, FileIdentity(middle.rawValue)])
                if let first { taken.add(first) }
                taken.add(middle)
                #expect(call.takeDescriptor(at: 1) == nil)
                #expect(call.takeDescriptor(at: 3) == nil)
                #expect(call.takeDescriptor(at: -1) == nil)
                call.reply(Number(value: call.descriptorCount))
            }
        ])
        let connection = try test.connect()
        let reply: Number = try connection.call(
            "io.ucopyd.test.Descriptors", Number(value: 0),
            descriptors: pipes.map { FileDescriptor(rawValue: $0.writing) })
        #expect(reply == Number(value: 3))
        #expect(seen.all == [[identities[0], identities[1]]])
        #expect(pipes[2].everyCopyIsClosed())
        for descriptor in taken.all {
            let flags = fcntl(descriptor.rawValue, F_GETFD)
            #expect(flags & FD_CLOEXEC != 0)
            try descriptor.close()
        }
        #expect(pipes[0].everyCopyIsClosed())
        #expect(pipes[1].everyCopyIsClosed())
    }

    @Test("Each of several calls sent at once gets its own descriptors")
    func pipelined() throws {
        let pipes = try (0..<2).map { _ in try ProbePipe() }
        let seen = Collector<[FileIdentity?]>()
        let test = try TestService(methods: [
            "Descriptors": { call throws(VarlinkError) in
                let descriptors = (0..<call.descriptorCount).compactMap(call.takeDescriptor(at:))
                seen.add(descriptors.map { FileIdentity($0.rawValue) })
                for descriptor in descriptors { SocketCalls.close(descriptor.rawValue) }
                call.reply()
            }
        ])
        let socket = try test.connectRaw()
        let call = #"{"method":"io.ucopyd.test.Descriptors"}"# + "\0"
        try socket.send(#"{"method":"io.ucopyd.test.Park"}"# + "\0")
        try socket.send(call)
        try socket.send(call, descriptors: [pipes[0].writing])
        try socket.send(call + call)
        try socket.send(call, descriptors: [pipes[1].writing, pipes[0].writing])
        #expect(test.parked.wait { _ in true })
        test.parked.all.first?.reply()
        for _ in 0..<6 { #expect(try socket.receive() == #"{"parameters":{}}"#) }
        #expect(
            seen.all == [[], [pipes[0].identity], [], [], [pipes[1].identity, pipes[0].identity]])
        for pipe in pipes { #expect(pipe.everyCopyIsClosed()) }
    }

    @Test("Descriptors of calls that fail, of garbage, and of messages never finished are closed")
    func closedOnFailure() throws {
        let test = try TestService()
        for text in [
            #"{"method":"io.ucopyd.nowhere.Echo"}"# + "\0", #"{"method":"io.ucopyd.test.Refuse"}"# + "\0",
            #"{"method":"io.ucopyd.test.Forget"}"# + "\0", "garbage\0",
        ] {
            let pipe = try ProbePipe()
            let socket = try test.connectRaw()
            try socket.send(text, descriptors: [pipe.writing])
            #expect(try socket.receive()?.contains("\"error\"") == true)
            #expect(pipe.everyCopyIsClosed(), "\(text)")
        }
        let pipe = try ProbePipe()
        do {
            let socket = try test.connectRaw()
            try socket.send("{\"method\"", descriptors: [pipe.writing])
        }
        #expect(pipe.everyCopyIsClosed())
    }

    @Test(
        "A message with more than 16 descriptors drops its connection and leaves none open",
        arguments: [17, 32, 33, 200])
    func tooMany(count: Int) throws {
        let test = try TestService()
        let pipe = try ProbePipe()
        let socket = try test.connectRaw()
        try sendMany(socket.descriptor, Array(repeating: pipe.writing, count: count))
        #expect(try socket.receive() == nil)
        #expect(test.events.wait { if case .dropped = $0 { true } else { false } })
        #expect(pipe.everyCopyIsClosed())
    }

    @Test("Sixteen descriptors in two pieces of one message are accepted, a seventeenth is not")
    func manyPieces() throws {
        let test = try TestService(methods: [
            "Descriptors": { call throws(VarlinkError) in call.reply(Number(value: call.descriptorCount)) }
        ])
        let pipe = try ProbePipe()
        let eight = Array(repeating: pipe.writing, count: 8)
        let socket = try test.connectRaw()
        try socket.send(#"{"method":"io.ucopyd"#, descriptors: eight)
        try socket.send(#".test.Descriptors"}"# + "\0", descriptors: eight)
        #expect(try socket.receive() == #"{"parameters":{"value":16}}"#)
        try socket.send("{", descriptors: eight + eight)
        try socket.send(" ", descriptors: [pipe.writing])
        #expect(try socket.receive() == nil)
        #expect(pipe.everyCopyIsClosed())
    }

    /// sendmsg(2) by hand, beyond what the module's own call allows. A control message is its header and the descriptors.
    private func sendMany(_ socket: CInt, _ descriptors: [CInt]) throws {
        let headerSize = MemoryLayout<cmsghdr>.size
        let length = headerSize + descriptors.count * MemoryLayout<CInt>.size
        var byte = UInt8(ascii: "{")
        var header = cmsghdr()
        header.cmsg_len = length
        header.cmsg_level = SOL_SOCKET
        header.cmsg_type = CInt(SCM_RIGHTS)
        let control = UnsafeMutableRawBufferPointer.allocate(byteCount: length + 8, alignment: 8)
        defer { control.deallocate() }
        control.storeBytes(of: header, as: cmsghdr.self)
        descriptors.withUnsafeBytes {
            UnsafeMutableRawBufferPointer(rebasing: control[headerSize...]).copyMemory(from: $0)
        }
        let sent = withUnsafeMutablePointer(to: &byte) { pointer in
            var vector = iovec(iov_base: pointer, iov_len: 1)
            return withUnsafeMutablePointer(to: &vector) { vector in
                var message = msghdr()
                message.msg_iov = vector
                message.msg_iovlen = 1
                message.msg_control = control.baseAddress
                message.msg_controllen = length
                return sendmsg(socket, &message, 0)
            }
        }
        try #require(sent == 1)
    }
}
