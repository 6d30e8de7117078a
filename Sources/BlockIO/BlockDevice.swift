import Synchronization
public import SystemPackage

/// A block device or an image file that is open for copying.
///
/// The object owns its descriptors. Whoever does I/O on it brackets that with `beginUse()` and
/// `endUse()`: `close()` refuses new users at once and gives the descriptors back when the last
/// one has ended. Geometry is read once, when the device is opened.
public final class BlockDevice: Sendable {
    /// What kind of thing is open.
    public enum Kind: Sendable {
        /// A block special file.
        case blockDevice
        /// A regular file holding the sectors of one.
        case imageFile
    }

    /// What may be done with an open device.
    public enum Access: Sendable {
        /// Reading only: enough for a source.
        case readOnly
        /// Writing only: a destination that cannot be verified.
        case writeOnly
        /// Both.
        case readWrite

        var mode: FileDescriptor.AccessMode {
            switch self {
            case .readOnly: .readOnly
            case .writeOnly: .writeOnly
            case .readWrite: .readWrite
            }
        }
    }

    /// The name that messages use: the path as it was given.
    public let path: String
    /// Block device or image file.
    public let kind: Kind
    /// What may be done with it.
    public let access: Access
    /// Sizes, alignments and abilities, as they were when the device was opened.
    public let geometry: DeviceGeometry
    /// Which storage this is, whatever it was called.
    public let identity: DeviceIdentity
    /// A number that no other device of this process ever has.
    public let id: UInt64

    /// The descriptor that I/O goes through. Valid only between `beginUse()` and `endUse()`, and for
    /// passing it on; never to be closed by a caller.
    public let descriptor: FileDescriptor
    /// A second descriptor that only keeps a claim alive, where I/O goes through a reopened one.
    private let claim: FileDescriptor?

    private struct State {
        var uses = 0
        var closing = false
        var closed = false
        var detach: [@Sendable (UInt64) -> Void] = []
    }
    private let state = Mutex(State())
    private static let lastID = Atomic<UInt64>(0)

    init(
        path: String, kind: Kind, access: Access, geometry: DeviceGeometry, identity: DeviceIdentity,
        descriptor: FileDescriptor, claim: FileDescriptor?
    ) {
        self.path = path
        self.kind = kind
        self.access = access
        self.geometry = geometry
        self.identity = identity
        self.descriptor = descriptor
        self.claim = claim
        self.id = Self.lastID.add(1, ordering: .relaxed).newValue
    }

    deinit { close() }

    /// Size in sectors.
    public var sectors: UInt64 { geometry.sectors }
    /// Whether reads are allowed.
    public var isReadable: Bool { access != .writeOnly }
    /// Whether writes are allowed.
    public var isWritable: Bool { access != .readOnly }

    /// Announces I/O on this device.
    /// - Throws: EBADF once `close()` was called.
    public func beginUse() throws(BlockError) {
        let open = state.withLock { state in
            if !state.closing { state.uses += 1 }
            return !state.closing
        }
        if !open { throw BlockError(path, "use", .badFileDescriptor, reason: "the device is closed") }
    }

    /// Ends what `beginUse()` announced; the last one to end closes a device that waits to be closed.
    public func endUse() {
        state.withLock { state in
            precondition(state.uses > 0, "endUse of \(path) without beginUse")
            state.uses -= 1
        }
        closeIfIdle()
    }

    /// Asks to be told, with the device's `id`, when the descriptors are about to be closed: an
    /// engine that holds them registered has to let go first, or a claim would outlive the device.
    /// The handler runs on the thread that closes, and must have let go when it returns.
    public func onClose(_ detach: @escaping @Sendable (UInt64) -> Void) {
        state.withLock { $0.detach.append(detach) }
    }

    /// Takes no new I/O and gives the descriptors back as soon as there is none under way. Calling
    /// it again does nothing.
    public func close() {
        state.withLock { $0.closing = true }
        closeIfIdle()
    }

    private func closeIfIdle() {
        let detach: [@Sendable (UInt64) -> Void]? = state.withLock { state in
            guard state.closing, !state.closed, state.uses == 0 else { return nil }
            state.closed = true
            defer { state.detach = [] }
            return state.detach
        }
        guard let detach else { return }
        for handler in detach { handler(id) }
        closeQuietly(descriptor)
        if let claim { closeQuietly(claim) }
    }
}

/// Closes a descriptor that was written to with direct I/O, or only read: close(2) then has
/// nothing left to report that a completion has not reported before.
func closeQuietly(_ descriptor: FileDescriptor) {
    do { try descriptor.close() } catch {}
}
