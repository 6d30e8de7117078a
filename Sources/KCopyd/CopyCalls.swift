import BlockIO
public import CKCopyd
import KCopy
import SystemPackage

@c @implementation
public func kcopyd_copy(
    _ kc: OpaquePointer?, _ from: UnsafeMutablePointer<io_region>?, _ num_dests: UInt32,
    _ dests: UnsafeMutablePointer<io_region>?, _ flags: UInt32, _ fn: kcopyd_notify_fn?,
    _ context: UnsafeMutableRawPointer?
) -> Int32 {
    answer { () throws(CallError) in
        let callback = Callback(.notify(try required(fn)), context)
        try start(kc, from: try required(from), num_dests, dests, flags, callback)
    }
}

@c @implementation
public func kcopyd_copy_ex(
    _ kc: OpaquePointer?, _ from: UnsafeMutablePointer<io_region>?, _ num_dests: UInt32,
    _ dests: UnsafeMutablePointer<io_region>?, _ flags: UInt32, _ fn: kcopyd_result_fn?,
    _ context: UnsafeMutableRawPointer?
) -> Int32 {
    answer { () throws(CallError) in
        let callback = Callback(.result(try required(fn)), context)
        try start(kc, from: try required(from), num_dests, dests, flags, callback)
    }
}

@c @implementation
public func kcopyd_zero(
    _ kc: OpaquePointer?, _ num_dests: UInt32, _ dests: UnsafeMutablePointer<io_region>?, _ flags: UInt32,
    _ fn: kcopyd_notify_fn?, _ context: UnsafeMutableRawPointer?
) -> Int32 {
    answer { () throws(CallError) in
        let callback = Callback(.notify(try required(fn)), context)
        try start(kc, from: nil, num_dests, dests, flags, callback)
    }
}

@c @implementation
public func kcopyd_zero_ex(
    _ kc: OpaquePointer?, _ num_dests: UInt32, _ dests: UnsafeMutablePointer<io_region>?, _ flags: UInt32,
    _ fn: kcopyd_result_fn?, _ context: UnsafeMutableRawPointer?
) -> Int32 {
    answer { () throws(CallError) in
        let callback = Callback(.result(try required(fn)), context)
        try start(kc, from: nil, num_dests, dests, flags, callback)
    }
}

/// What the four calls have in common. Reads nothing behind `dests` before their number is known to
/// be allowed.
private func start(
    _ kc: OpaquePointer?, from: UnsafeMutablePointer<io_region>?, _ count: UInt32,
    _ dests: UnsafeMutablePointer<io_region>?, _ flags: UInt32, _ callback: Callback
) throws(CallError) {
    let client = try clients.object(kc)
    let flags = CopyFlags(rawValue: flags)
    guard flags.isSubset(of: .all), 1...UInt32(KCOPYD_MAX_REGIONS) ~= count else {
        throw CallError(.invalidArgument)
    }
    let first = try required(dests)
    var request = CopyRequest(source: nil, destinations: [], flags: flags)
    if let from { request.source = try IORegion(from.pointee) }
    request.destinations.reserveCapacity(Int(count))
    for index in 0..<Int(count) { request.destinations.append(try IORegion(first[index])) }
    try client.start(request, callback)
}

extension IORegion {
    /// A region of a C program.
    /// - Throws: EINVAL for a null device, EBADF for one that is not open.
    fileprivate init(_ region: io_region) throws(CallError) {
        self.init(try devices.object(region.bdev), sector: region.sector, count: region.count)
    }
}
