import BlockIO
import Glibc

/// What one peer may hold at a time, and what all of them may hold together.
///
/// A peer is a user; of the superuser, whose programs have nothing to do with each other, each process is one.
/// What is held is given back at the moment the thing itself is gone, however it went.
public struct PeerLimits: Sendable {
    /// Clients of one peer. Default 512.
    public var clients = 512
    /// Jobs of one peer that have not ended, or whose end a program that watches their client has not been told yet.
    /// Default 8192.
    public var jobs = 8192
    /// Devices that one peer has open, those that its jobs opened by path or descriptor included. Default 1024.
    public var devices = 1024
    /// 4 KiB pages of one peer's clients together. Default 262144, which is 1 GiB.
    public var pages = 262_144
    /// 4 KiB pages of all clients together. Default: a quarter of the machine's memory.
    public var totalPages = Self.quarterOfMemory()

    /// The defaults.
    public init() {}

    private static let longestName = 512

    /// A name that a peer has chosen for something, no longer than is kept. Counted in scalars: one character may be as long
    /// as a message.
    static func name(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.prefix(longestName)))
    }

    private static func quarterOfMemory() -> Int {
        let bytes = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
        return max(bytes / 4 / Page.size, 1)
    }
}
