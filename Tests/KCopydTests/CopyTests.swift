import Foundation
import Testing

private let isBuilt = Paths.isBuilt(Paths.library)

@Suite("C programs", .enabled(if: isBuilt, "build the product kcopyd first"))
struct CopyTests {
    let workshop: Workshop

    init() throws { workshop = try Workshop() }

    /// Not a whole number of pieces, whatever their size.
    private static let size = (5 << 20) + 12 * 4096

    @Test("copy an image to eight others in one job", arguments: Host.all)
    func eightDestinations(host: Host) throws {
        let source = try workshop.image("source", bytes: Self.size)
        let copies = try (0..<8).map { try workshop.blank("copy\($0)", bytes: Self.size) }
        try workshop.run("copy.c", ["64", "0", source] + copies, host: host)
        let content = try workshop.bytes(source)
        for copy in copies { #expect(try workshop.bytes(copy) == content) }
    }

    @Test("copy with a budget of one page", arguments: Host.all)
    func onePage(host: Host) throws {
        let source = try workshop.image("source", bytes: 256 << 10)
        let copy = try workshop.image("copy", bytes: 256 << 10)
        try workshop.run("copy.c", ["1", "0", source, copy], host: host)
        #expect(try workshop.bytes(copy) == workshop.bytes(source))
    }

    @Test("copy with every flag", arguments: Host.all, ["0x2", "0x4", "0x100", "0x200", "0x400", "0x800", "0xf06"])
    func flags(host: Host, flags: String) throws {
        let source = try workshop.blank("source", bytes: 4 << 20)
        let content = try workshop.bytes(try workshop.image("content", bytes: 1 << 20))
        let handle = try FileHandle(forWritingTo: URL(filePath: source))
        try handle.seek(toOffset: 2 << 20)
        try handle.write(contentsOf: content)
        try handle.close()
        let copy = try workshop.image("copy", bytes: 4 << 20)
        try workshop.run("copy.c", ["128", flags, source, copy], host: host)
        #expect(try workshop.bytes(copy) == workshop.bytes(source))
    }

    @Test("copy between loop devices", arguments: Host.all, [512, 4096])
    func loopDevices(host: Host, blockSize: Int) throws {
        let source = try workshop.loop(try workshop.image("source", bytes: Self.size), blockSize: blockSize)
        let copy = try workshop.loop(try workshop.blank("copy", bytes: Self.size), blockSize: blockSize)
        try workshop.run("copy.c", ["256", "0x800", source, copy], host: host)
        #expect(try workshop.bytes(copy) == workshop.bytes(source))
    }

    @Test("copy and zero pieces of a device", arguments: Host.all)
    func pieces(host: Host) throws {
        let source = try workshop.image("source", bytes: 1 << 20)
        let copy = try workshop.blank("copy", bytes: 1 << 20)
        try workshop.run("pieces.c", [source, copy], host: host)
        let content = try workshop.bytes(source)
        var expected = Data(count: 4096)
        for block in (0..<255).reversed() { expected += content[block * 4096..<(block + 1) * 4096] }
        #expect(try workshop.bytes(copy) == expected)
    }

    @Test("are refused what is wrong, and nothing is started", arguments: Host.all)
    func refusals(host: Host) throws {
        let source = try workshop.image("source", bytes: 1 << 20)
        let destination = try workshop.loop(try workshop.image("destination", bytes: 1 << 20), blockSize: 4096)
        let other = try workshop.image("other", bytes: 1 << 20)
        let before = try [destination, other].map(workshop.bytes)
        try workshop.run("refusals.c", [source, destination, other], host: host)
        #expect(try [destination, other].map(workshop.bytes) == before)
    }

    @Test("open image files")
    func imageFile() throws {
        let image = try workshop.image("image", bytes: 1 << 20)
        let odd = try workshop.image("odd", bytes: 1000)
        try workshop.run("devices.c", [image, try directAlignment(image), "2048", odd])
    }

    @Test("open loop devices and claim them", arguments: [512, 4096])
    func loopDevice(blockSize: Int) throws {
        let device = try workshop.loop(try workshop.image("image", bytes: 1 << 20), blockSize: blockSize)
        let odd = try workshop.image("odd", bytes: 1000)
        try workshop.run("devices.c", [device, "\(blockSize)", "2048", odd])
    }

    @Test("start the next copy from the callback of the last", arguments: Host.all)
    func chain(host: Host) throws {
        let source = try workshop.image("source", bytes: 512 << 10)
        let copy = try workshop.blank("copy", bytes: 512 << 10)
        try workshop.run("chain.c", [source, copy], host: host)
        #expect(try workshop.bytes(copy) == workshop.bytes(source))
    }

    @Test("destroy clients in callbacks", arguments: Host.all)
    func destroy(host: Host) throws {
        let source = try workshop.image("source", bytes: 1 << 20)
        let copy = try workshop.blank("copy", bytes: 1 << 20)
        try workshop.run("destroy.c", [source, copy], host: host)
        let copied = (3 * 64 + 2) * 4096
        #expect(try workshop.bytes(copy).prefix(copied) == workshop.bytes(source).prefix(copied))
    }

    @Test("cancel copies by their context", arguments: Host.all)
    func cancel(host: Host) throws {
        let source = try workshop.image("source", bytes: 12 << 10)
        let copy = try workshop.blank("copy", bytes: 12 << 10)
        try workshop.run("cancel.c", [source, copy], host: host)
        #expect(try workshop.bytes(copy) == Data(count: 8 << 10) + workshop.bytes(source).suffix(4 << 10))
    }

    @Test("are told which side failed, and the other destinations are complete", arguments: Host.all)
    func faults(host: Host) throws {
        let source = try workshop.image("source", bytes: 4 << 20)
        let content = try workshop.bytes(source)
        let good = try workshop.blank("good", bytes: 4 << 20)
        let small = try workshop.smallFileSystem("small", bytes: 1 << 20)
        let full = try workshop.blank("small/full", bytes: 4 << 20)
        #expect(small.path == URL(filePath: full).deletingLastPathComponent().path)
        try workshop.run("faults.c", [source, good, full], host: host)
        #expect(try workshop.bytes(good) == content)
    }

    @Test("share a client among threads", arguments: Host.all)
    func threads(host: Host) throws {
        let source = try workshop.image("source", bytes: 8 << 20)
        let copy = try workshop.blank("copy", bytes: 8 << 20)
        try workshop.run("threads.c", [source, copy], host: host)
        #expect(try workshop.bytes(copy) == workshop.bytes(source))
    }

    @Test("fork without harm", arguments: Host.all)
    func fork(host: Host) throws {
        let source = try workshop.image("source", bytes: 1 << 20)
        let copy = try workshop.blank("copy", bytes: 1 << 20)
        try workshop.run("forked.c", [source, copy], host: host)
        #expect(try workshop.bytes(copy) == workshop.bytes(source))
    }

    @Test("claim a device again once it is closed", arguments: Host.all)
    func reclaim(host: Host) throws {
        let source = try workshop.image("source", bytes: 64 << 10)
        let copy = try workshop.loop(try workshop.blank("copy", bytes: 64 << 10), blockSize: 512)
        try workshop.run("reclaim.c", [source, copy], host: host)
        #expect(try workshop.bytes(copy) == workshop.bytes(source))
    }

    @Test("keep their signals to themselves", arguments: Host.all)
    func signals(host: Host) throws {
        let source = try workshop.image("source", bytes: 4 << 10)
        let copy = try workshop.blank("copy", bytes: 4 << 10)
        try workshop.run("signals.c", [source, copy], host: host)
        #expect(try workshop.bytes(copy) == workshop.bytes(source))
    }

    @Test("may be C++")
    func plusPlus() throws {
        let source = try workshop.image("source", bytes: Self.size)
        let copy = try workshop.blank("copy", bytes: Self.size)
        try workshop.run("plusplus.cpp", [source, copy])
        #expect(try workshop.bytes(copy) == workshop.bytes(source))
    }

    @Test("hear that the daemon has gone", .enabled(if: Paths.isBuilt(Paths.daemon), "build the product ucopyd first"))
    func loss() throws {
        let source = try workshop.image("source", bytes: 8 << 10)
        let copy = try workshop.blank("copy", bytes: 8 << 10)
        let daemon = try workshop.daemon()
        try workshop.run("loss.c", [source, copy, "\(daemon.pid)"], host: .daemon)
        #expect(try workshop.bytes(copy) == Data(count: 8 << 10))
    }

    /// The offset alignment that the kernel asks for on direct I/O to a file.
    private func directAlignment(_ path: String) throws -> String {
        let program = workshop.folder.appending(path: "align.c")
        try """
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <linux/stat.h>
        #include <stdio.h>
        #include <string.h>
        #include <sys/syscall.h>
        #include <unistd.h>

        int main(int argc, char **argv)
        {
            unsigned char answer[256];
            unsigned int offset;

            memset(answer, 0, sizeof(answer));
            if (argc != 2 || syscall(SYS_statx, AT_FDCWD, argv[1], 0, 0x2000u, answer))
                return 1;
            memcpy(&offset, answer + 156, 4);
            printf("%u", offset > 512 ? offset : 512);
            return 0;
        }

        """.write(to: program, atomically: true, encoding: .utf8)
        return try Command.succeed([try workshop.compile(program), path])
    }
}
