import Glibc
import SystemPackage

/// The descriptors that this process has open, from proc(5).
public enum OpenDescriptors {
    /// The numbers of those that refer to a path.
    public static func of(_ path: String) -> [Int32] {
        all().filter { target($0) == path }
    }

    /// How many refer to a path.
    public static func count(of path: String) -> Int { of(path).count }

    /// Whether a program that is executed would inherit a descriptor.
    public static func isInherited(_ descriptor: Int32) -> Bool {
        fcntl(descriptor, F_GETFD) & FD_CLOEXEC == 0
    }

    private static func all() -> [Int32] {
        guard let directory = opendir("/proc/self/fd") else { return [] }
        defer { closedir(directory) }
        var numbers: [Int32] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let number = Int32(name) { numbers.append(number) }
        }
        return numbers
    }

    private static func target(_ descriptor: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/fd/\(descriptor)", &buffer, buffer.count - 1)
        return count < 0 ? "" : String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
