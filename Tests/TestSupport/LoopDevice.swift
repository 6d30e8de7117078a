import Glibc
import SystemPackage

/// A loop device over an image file, for the time of a closure.
public enum LoopDevice {
    /// Whether this machine can make loop devices: losetup, the right to use it, and a kernel that has them.
    public static let isPossible = makesOne(["losetup"])
    /// Whether loop devices may have blocks of 4096 bytes.
    public static let canHaveLargeBlocks = makesOne(["losetup", "--sector-size", "4096"])

    private static func makesOne(_ command: [String]) -> Bool {
        guard getuid() == 0, Program.exist("losetup"), let directory = try? TemporaryDirectory(onDisk: true),
            let image = try? directory.image("probe", bytes: 1 << 20)
        else { return false }
        func made() -> Program.Outcome? { try? Program.run(command + ["-f", "--show", image]) }
        var outcome = made()
        if outcome?.status != 0 {
            makeNode()
            outcome = made()
        }
        guard let made = outcome, made.status == 0 else { return false }
        return (try? Program.succeed("losetup", "-d", made.output.filter { !$0.isNewline })) != nil
    }

    /// Makes a device of an image file, and removes it when the body has ended, however it ends.
    /// - Parameters:
    ///   - options: of losetup(8): `-r`, `-P`, `--sector-size N`.
    public static func with<Result>(
        _ image: String, options: [String] = [], _ body: (_ path: String) throws -> Result
    ) throws -> Result {
        let path = try attach(image, options: options)
        defer { detach(path) }
        return try body(path)
    }

    /// The same for a body that awaits.
    public static func with<Result>(
        _ image: String, options: [String] = [], isolation: isolated (any Actor)? = #isolation,
        _ body: (_ path: String) async throws -> Result
    ) async throws -> Result {
        let path = try attach(image, options: options)
        defer { detach(path) }
        return try await body(path)
    }

    /// Makes a device of an image file, for `detach` to remove.
    public static func attach(_ image: String, options: [String] = []) throws -> String {
        let arguments = ["losetup", "-f", "--show"] + options + [image]
        var attempts = 0
        while true {
            let outcome = try Program.run(arguments)
            if outcome.status == 0 { return outcome.output.filter { !$0.isNewline } }
            attempts += 1
            guard isPossible, attempts < 600 else { throw ProgramFailure(arguments: arguments, outcome: outcome) }
            makeNode()
            usleep(100_000)
        }
    }

    /// Puts the next device into /dev: in a container there are only those that the host had when the container was started.
    private static func makeNode() {
        guard let next = try? Program.run(["losetup", "-f"]).output, next.hasPrefix("/dev/loop"),
            let number = dev_t(next.dropFirst("/dev/loop".count).prefix(while: \.isNumber)), number < 1 << 20
        else { return }
        // Where it exists, or may not be made, losetup says what is wrong.
        _ = mknod("/dev/loop\(number)", S_IFBLK | 0o660, 7 << 8 | number & 0xff | (number & ~0xff) << 12)
    }

    /// Removes a device.
    public static func detach(_ path: String) {
        // Kept busy by a test that has failed it goes with its last user (autoclear).
        _ = try? Program.run(["losetup", "-d", path])
    }
}
