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
        guard let made = try? Program.run(command + ["-f", "--show", image]), made.status == 0 else { return false }
        return (try? Program.succeed("losetup", "-d", made.output.filter { !$0.isNewline })) != nil
    }

    /// Makes a device of an image file, and removes it when the body has ended, however it ends.
    /// - Parameters:
    ///   - options: of losetup(8): `-r`, `-P`, `--sector-size N`.
    public static func with<Result>(
        _ image: String, options: [String] = [], _ body: (_ path: String) throws -> Result
    ) throws -> Result {
        let path = try make(image, options)
        defer { remove(path) }
        return try body(path)
    }

    /// The same for a body that awaits.
    public static func with<Result>(
        _ image: String, options: [String] = [], isolation: isolated (any Actor)? = #isolation,
        _ body: (_ path: String) async throws -> Result
    ) async throws -> Result {
        let path = try make(image, options)
        defer { remove(path) }
        return try await body(path)
    }

    private static func make(_ image: String, _ options: [String]) throws -> String {
        let outcome = try Program.run(["losetup", "-f", "--show"] + options + [image])
        guard outcome.status == 0 else {
            throw ProgramFailure(arguments: ["losetup"] + options + [image], outcome: outcome)
        }
        return outcome.output.filter { !$0.isNewline }
    }

    private static func remove(_ path: String) {
        // Kept busy by a test that has failed it goes with its last user (autoclear).
        _ = try? Program.run(["losetup", "-d", path])
    }
}
