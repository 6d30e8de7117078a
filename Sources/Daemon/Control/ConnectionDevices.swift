import BlockIO
import Dispatch
import Synchronization
import Varlink

/// The devices that a connection has opened for itself.
final class ConnectionDevices: Sendable {
    private struct State {
        var devices: [Int: SharedDevice] = [:]
        var isWatched = false
        var isClosed = false
    }

    let account: PeerAccount
    private let state = Mutex(State())

    private init(_ account: PeerAccount) { self.account = account }

    /// The devices of a connection, which let go of them when it ends.
    static func of(_ session: VarlinkSession, _ book: AccountBook) -> ConnectionDevices {
        if let devices = session.attached(ConnectionDevices.self) { return devices }
        let account = book.account(of: session.peer)
        let devices = session.attached(orMake: { ConnectionDevices(account) })
        let isFirst = devices.state.withLock { state in
            defer { state.isWatched = true }
            return !state.isWatched
        }
        if isFirst { session.onClose { devices.close() } }
        return devices
    }

    subscript(number: Int) -> SharedDevice? { state.withLock { $0.devices[number] } }

    /// Keeps a device; lets go of it where the connection has ended. On the account's queue.
    func add(_ device: SharedDevice, as number: Int) {
        let isKept = state.withLock { state in
            if !state.isClosed { state.devices[number] = device }
            return !state.isClosed
        }
        if !isKept { device.release() }
    }

    /// Takes a device out; the caller lets go of it.
    func remove(_ number: Int) -> SharedDevice? {
        state.withLock { $0.devices.removeValue(forKey: number) }
    }

    private func close() {
        let devices = state.withLock { state in
            state.isClosed = true
            defer { state.devices = [:] }
            return state.devices
        }
        guard !devices.isEmpty else { return }
        account.queue.async { for device in devices.values { device.release() } }
    }
}
