public import BlockIO
import ControlAPI
public import SystemPackage

/// How the daemon is to run.
public struct DaemonConfiguration: Sendable {
    /// Where the socket `io.ucopyd` and the folder `nbd` go; made where it is missing.
    public var runtimeDirectory = ControlSocket.defaultRuntimeDirectory
    /// How I/O is done.
    public var engine = EngineChoice.auto
    /// How many lanes; nil for as many as suit the machine.
    public var lanes: Int?
    /// What becomes of running jobs at the end.
    public var stopPolicy = StopPolicy.cancel
    /// Seconds after which jobs that were to finish are cancelled.
    public var stopTimeout = 60
    /// What peers may hold.
    public var limits = PeerLimits()

    /// The defaults.
    public init() {}

    /// The socket.
    public var socket: FilePath { runtimeDirectory.appending(ControlSocket.fileName) }
    /// Where the sockets of mapped devices go; made where it is missing.
    public var exports: FilePath { runtimeDirectory.appending("nbd") }
}
