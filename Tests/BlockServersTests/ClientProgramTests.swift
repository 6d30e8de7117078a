import BlockIO
import SystemPackage
import TestSupport
import Testing

@testable import BlockServers

/// Whether the clients that these tests need are here: make check installs them.
private enum Clients {
    static let exist = Program.exist("qemu-img", "qemu-io", "nbdinfo", "nbdcopy", "fio")
}

@Suite("Clients that others have written", .enabled(if: Clients.exist))
struct ClientProgramTests {
    @Test("qemu-img copies an image there and back, and finds no difference")
    func qemuImg() throws {
        let content = Bytes.random(8 << 20, seed: 1)
        let server = try Server(bytes: 32 << 20)
        let source = try server.directory.image("source", contents: content, bytes: 32 << 20)
        let uri = server.uri("disk")
        try Program.succeed("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, uri)
        #expect(try Bytes.difference(Bytes.read(server.image, count: 8 << 20), content) == nil)
        try Program.succeed("qemu-img", "compare", "-f", "raw", "-F", "raw", source, uri)
        // Holes stay holes on the way back.
        let copy = server.directory.file("copy")
        try Program.succeed("qemu-img", "convert", "-f", "raw", "-O", "raw", server.uri(), copy)
        #expect(try Bytes.difference(Bytes.read(copy, count: 8 << 20), content) == nil)
        #expect(try Bytes.allocated(copy) <= 8 << 20)
        let map = try Program.succeed("qemu-img", "map", "--output=json", "-f", "raw", uri)
        #expect(map.contains("\"start\": 8388608") && map.contains("\"zero\": true"))
    }

    @Test("qemu-io writes, zeroes, discards and reads back what it expects")
    func qemuIO() throws {
        let server = try Server(bytes: 16 << 20)
        let commands = [
            "write -P 1 0 1M", "write -f -P 2 64k 4k", "write -z 128k 64k", "write -z -u 256k 64k", "discard 512k 64k",
            "flush", "read -P 1 0 64k", "read -P 2 64k 4k", "read -P 0 128k 64k", "read -P 0 256k 64k",
            "aio_write -P 3 1M 512k", "aio_write -P 4 2M 512k", "aio_flush", "read -P 3 1M 512k", "read -P 4 2M 512k",
            "read 15M 1M",
        ]
        let arguments = ["qemu-io", "-f", "raw"] + commands.flatMap { ["-c", $0] } + [server.uri()]
        let outcome = try Program.run(arguments)
        #expect(outcome.status == 0 && !outcome.output.contains("failed"), "\(outcome.output)")
        #expect(try Bytes.read(server.image, at: 2 << 20, count: 512) == [UInt8](repeating: 4, count: 512))
        let refused = try Program.run(["qemu-io", "-f", "raw", "-c", "write 15M 2M", server.uri()])
        #expect(refused.status != 0)
    }

    @Test("nbdinfo sees the export as it is")
    func nbdinfo() throws {
        let server = try Server(bytes: 4 << 20)
        try Bytes.write(Bytes.random(65536, seed: 2), to: server.image, at: 1 << 20)
        let list = try Program.succeed("nbdinfo", "--list", server.uri())
        for line in [
            "export=\"disk\":", "export-size: 4194304", "base:allocation", "is_read_only: false",
            "can_multi_conn: true",
            "can_fua: true", "can_fast_zero: true", "can_df: true", "can_cache: true", "block_size_minimum: 512",
            "block_size_preferred: 4096", "block_size_maximum: 33554432",
        ] { #expect(list.contains(line), "\(line)") }
        #expect(try Program.succeed("nbdinfo", "--size", server.uri("disk")) == "4194304")
        let map = try Program.succeed("nbdinfo", "--map", server.uri())
        let rows = map.split(separator: "\n").map { $0.split(separator: " ").prefix(3).joined(separator: " ") }
        #expect(rows == ["0 1048576 3", "1048576 65536 0", "1114112 3080192 3"])
        #expect(try Program.run(["nbdinfo", server.uri("other")]).status != 0)
    }

    @Test("nbdinfo sees that an export is read-only, and writes to it are refused")
    func readOnly() throws {
        let server = try Server(bytes: 4 << 20, isReadOnly: true)
        try Program.succeed("nbdinfo", "--is", "readonly", server.uri())
        let write = try Program.run(["qemu-io", "-f", "raw", "-c", "write 0 4k", server.uri()])
        #expect(write.status != 0)
    }

    @Test("nbdcopy copies over several connections, sparsely", arguments: [1, 4])
    func nbdcopy(connections: Int) throws {
        let content = Bytes.random(16 << 20, seed: 3)
        let server = try Server(bytes: 64 << 20)
        let source = try server.directory.image("source", contents: content, bytes: 64 << 20)
        try Program.succeed("nbdcopy", "--connections=\(connections)", "--flush", source, server.uri())
        #expect(try Bytes.difference(Bytes.read(server.image, count: 16 << 20), content) == nil)
        #expect(try Bytes.allocated(server.image) <= 16 << 20)
        let copy = server.directory.file("copy")
        try Program.succeed("nbdcopy", "--connections=\(connections)", server.uri(), copy)
        #expect(try Bytes.difference(Bytes.read(copy, count: 16 << 20), content) == nil)
        #expect(server.wait { device, _ in device.users == 0 })
    }

    @Test("fio finds what it wrote, over connections at the same time", arguments: [(false, 1), (true, 1), (false, 4)])
    func fio(onDisk: Bool, jobs: Int) throws {
        let server = try Server(bytes: 32 << 20, onDisk: onDisk)
        try Program.succeed(
            "fio", "--name=verify", "--ioengine=nbd", "--uri=\(server.uri())", "--iodepth=32", "--rw=randwrite",
            "--bsrange=512-128k", "--size=4m", "--offset_increment=4m", "--numjobs=\(jobs)", "--verify=crc32c",
            "--verify_fatal=1", "--verify_state_save=0", "--fsync=64", "--randseed=7")
        #expect(server.wait { device, _ in device.users == 0 })
    }
}
