import Synchronization
import SystemPackage

/// Handles for C: numbers dressed as pointers.
///
/// A handle is looked up, never dereferenced, so that a closed or made-up one is an error rather than
/// a crash. The numbers lie where no pointer of a program can lie (their upper 16 bits are neither all
/// zero nor all one), and count up: one is not seen again before 2^44 others.
struct HandleTable<Object: Sendable>: ~Copyable, Sendable {
    private struct Contents {
        var next: UInt64 = 1
        var objects: [UInt64: Object] = [:]
    }

    private let prefix: UInt64
    private let contents = Mutex(Contents())

    /// A table whose handles carry a mark, so that a handle of one table is garbage to all others.
    init(mark: UInt16) {
        prefix = UInt64(mark) << 48
    }

    /// A new handle for an object.
    func insert(_ object: Object) -> OpaquePointer? {
        let handle = contents.withLock { contents in
            let handle = prefix | contents.next << 4
            contents.next = (contents.next + 1) & (1 << 44 - 1)
            contents.objects[handle] = object
            return handle
        }
        return OpaquePointer(bitPattern: UInt(handle))
    }

    /// The object of a handle.
    /// - Throws: EINVAL for a null handle, EBADF for one that is not in the table.
    func object(_ handle: OpaquePointer?) throws(CallError) -> Object {
        let number = UInt64(UInt(bitPattern: try required(handle)))
        guard let object = contents.withLock({ $0.objects[number] }) else { throw CallError(.badFileDescriptor) }
        return object
    }

    /// Takes a handle out of the table; nil for one that is not there.
    func remove(_ handle: OpaquePointer?) -> Object? {
        let number = UInt64(UInt(bitPattern: handle))
        return contents.withLock { $0.objects.removeValue(forKey: number) }
    }
}
