import Glibc
import SystemPackage

/// The names in a directory without `.` and `..`; none where it cannot be read.
func directoryEntries(_ path: FilePath) -> [String] {
    guard let directory = path.withPlatformString({ opendir($0) }) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
            pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
}
