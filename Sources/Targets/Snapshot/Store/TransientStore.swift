/// Exceptions that last as long as their snapshot: nothing but data is on the device.
final class TransientStore: ExceptionStore {
    let chunkSectors: UInt64
    let canMerge = false
    var onFailure: ((_ reason: String) -> Void)?
    /// The first sector that was not given away.
    private var cursor: UInt64 = 0

    /// A store without exceptions.
    init(chunkSectors: UInt64) {
        self.chunkSectors = chunkSectors
    }

    var usage: (allocated: UInt64, metadata: UInt64) { (cursor, 0) }

    func allocate(_ count: UInt64, sectors: UInt64) -> (first: UInt64, count: UInt64)? {
        let room = sectors > cursor ? (sectors - cursor) / chunkSectors : 0
        guard room > 0 else { return nil }
        let first = cursor / chunkSectors
        let given = min(count, room)
        cursor += given * chunkSectors
        return (first, given)
    }

    func canAllocate(_ count: UInt64, sectors: UInt64) -> Bool {
        sectors >= cursor && (sectors - cursor) / chunkSectors >= count
    }

    func commit(_ run: ExceptionRun, done: @escaping (Bool) -> Void) { done(true) }
    func abandon(_ count: UInt64) {}
    func invalidate(_ done: @escaping (Bool) -> Void) { done(true) }
    func whenIdle(_ body: @escaping () -> Void) { body() }
    func move(to device: any TargetDevice, _ exceptions: ExceptionTable) {}
}
