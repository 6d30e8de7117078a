import BlockIO
import CKCopyd
import Glibc
import ControlAPI
import KCopy
import SystemPackage

/// The clients of C programs.
let clients = HandleTable<Client>(mark: 0x4B43)

@c @implementation
public func kcopyd_client_create(
    _ num_pages: UInt32, _ result: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
    answer { () throws(CallError) in
        let result = try required(result)
        result.pointee = clients.insert(Client(try LocalClient(pages: num_pages)))
    }
}

@c @implementation
public func kcopyd_client_connect(
    _ socket_path: UnsafePointer<CChar>?, _ num_pages: UInt32, _ result: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
    answer { () throws(CallError) in
        let result = try required(result)
        let socket = socket_path.map { FilePath(platformString: $0) } ?? ControlSocket.path()
        result.pointee = clients.insert(Client(try HostedClient(socket: socket, pages: num_pages)))
    }
}

@c @implementation
public func kcopyd_client_destroy(_ kc: OpaquePointer?) {
    // Nobody to tell: a forked child has nothing to destroy, an unknown handle is destroyed.
    _ = answer { () throws(CallError) in clients.remove(kc)?.destroy() }
}

@c @implementation
public func kcopyd_client_set_rate(_ kc: OpaquePointer?, _ bytes_per_second: UInt64, _ percent: UInt32) -> Int32 {
    answer { () throws(CallError) in
        let rate = CopyRate(
            bytesPerSecond: bytes_per_second == .max ? nil : bytes_per_second, percent: Int(percent))
        try clients.object(kc).setRate(rate)
    }
}

@c @implementation
public func kcopyd_cancel(_ kc: OpaquePointer?, _ context: UnsafeMutableRawPointer?) -> Int32 {
    answer { () throws(CallError) in try clients.object(kc).cancel(context: UInt(bitPattern: context)) }
}
