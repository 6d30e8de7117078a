import Glibc
public import SystemPackage

/// Where the daemon listens.
public enum ControlSocket {
    /// The socket's name inside the daemon's runtime directory.
    public static let fileName = "io.ucopyd"
    /// The runtime directory, unless the daemon was told another.
    public static let defaultRuntimeDirectory: FilePath = "/run/ucopyd"
    /// The environment variable that names another socket.
    public static let environmentVariable = "UCOPYD_SOCKET"

    /// The socket to connect to: the one asked for, else the one that the environment names, else the default.
    public static func path(_ explicit: String? = nil) -> FilePath {
        if let explicit { return FilePath(explicit) }
        if let value = getenv(environmentVariable), value.pointee != 0 { return FilePath(platformString: value) }
        return defaultRuntimeDirectory.appending(fileName)
    }
}
