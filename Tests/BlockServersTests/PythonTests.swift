import BlockIO
import FoundationEssentials
import TestSupport
import Testing

@testable import BlockServers

/// Python with the bindings of libnbd: Debian's, which belong to Debian's Python in /usr/bin.
private enum Python {
    static let interpreter = "python3"
    static let hasNBD = (try? Program.run([interpreter, "-c", "import nbd"]))?.status == 0
    static let programs = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Programs").path
}

@Suite("Clients in Python", .enabled(if: Python.hasNBD))
struct PythonTests {
    @Test("at the edges of the protocol get what it promises them")
    func edges() throws {
        let server = try Server(bytes: 128 << 20)
        let outcome = try Program.run([Python.interpreter, "\(Python.programs)/edges.py", server.path])
        #expect(outcome.status == 0, "\(outcome.output)")
        #expect(server.wait { device, listener in device.users == 0 && listener.connectionCount == 0 })
    }
}
