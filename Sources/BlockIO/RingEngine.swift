import CLinux
import CURing
public import Dispatch
import Glibc
import SystemPackage

/// I/O through an io_uring of its own, with registered descriptors and buffers.
///
/// Completions are announced on an eventfd, which a DispatchSource turns into a call on the lane's
/// queue. That way through Dispatch takes three wake-ups; a lane whose completions follow each other closely
/// therefore stays and waits in the ring, and the eventfd is silent while it does. `interrupt()` counts as a completion
/// for such a wait, through a second eventfd, the bell, which the ring always reads.
///
/// Without a queue the ring belongs to the thread that makes it: that thread alone submits, and always waits in the ring.
///
/// A request belongs, for the kernel, to the thread that submitted it, and Dispatch may
/// end an idle thread: what the kernel then gives back (ECANCELED, EFAULT) is started again by `IOQueue`.
public final class RingEngine: IOEngine {
    /// Entries of the submission queue; the completion queue has four times as many.
    private static let entries: UInt32 = 256
    /// Places for registered descriptors and for registered buffers; what finds none goes unregistered.
    private static let fileSlots: UInt32 = 256
    private static let bufferSlots: UInt32 = 1024
    private static let batch = 64
    /// The tag of the read of the bell.
    private static let bellTag = UInt64.max

    private let ring: UnsafeMutablePointer<io_uring>
    /// Where completions are announced, for a ring that belongs to a queue.
    private let announcement: (event: FileDescriptor, source: any DispatchSourceRead)?
    private let bell: FileDescriptor
    private let bellCount: UnsafeMutableRawPointer
    private let cqes: UnsafeMutablePointer<UnsafeMutablePointer<io_uring_cqe>?>
    private var completions: [RawCompletion] = []
    private var freeFiles: [Int32] = []
    private var freeBuffers: [Int32] = []

    public let depth = Int(RingEngine.entries)
    public var onCompletions: ((UnsafeBufferPointer<RawCompletion>) -> Void)?
    public var onReady: (() -> Void)?

    /// Sets a ring up for the lane that runs on `queue`, or for the calling thread.
    /// - Throws: what io_uring_setup(2) answered: ENOSYS or EPERM where the kernel or a sandbox forbids it.
    public init(queue: DispatchQueue?) throws(BlockError) {
        let ring = try Self.makeRing(ofThread: queue == nil)
        let event = queue == nil ? 0 : eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        let bell = eventfd(0, Int32(EFD_CLOEXEC))
        let registered =
            event < 0 || bell < 0 ? -errno : queue == nil ? 0 : io_uring_register_eventfd(ring, event)
        guard registered == 0 else {
            io_uring_queue_exit(ring)
            ring.deallocate()
            for fd in [event, bell] where fd > 0 { closeQuietly(FileDescriptor(rawValue: fd)) }
            throw BlockError("io_uring", "register an eventfd", Errno(rawValue: -registered))
        }
        self.ring = ring
        self.bell = FileDescriptor(rawValue: bell)
        bellCount = .allocate(byteCount: 8, alignment: 8)
        announcement = queue.map {
            (FileDescriptor(rawValue: event), DispatchSource.makeReadSource(fileDescriptor: event, queue: $0))
        }
        self.cqes = .allocate(capacity: Self.batch)
        completions.reserveCapacity(Self.batch)
        if io_uring_register_files_sparse(ring, Self.fileSlots) == 0 {
            freeFiles = Array((0..<Int32(Self.fileSlots)).reversed())
        }
        if io_uring_register_buffers_sparse(ring, Self.bufferSlots) == 0 {
            freeBuffers = Array((0..<Int32(Self.bufferSlots)).reversed())
        }
        if let source = announcement?.source {
            source.setEventHandler { self.wake() }
            source.setCancelHandler { closeQuietly(FileDescriptor(rawValue: event)) }
            source.activate()
        }
        listenToBell()
        submit()
    }

    private static func makeRing(ofThread: Bool) throws(BlockError) -> UnsafeMutablePointer<io_uring> {
        let ring = UnsafeMutablePointer<io_uring>.allocate(capacity: 1)
        ring.initialize(to: io_uring())
        let plain: UInt32 = 1 << 3 | 1 << 4  // IORING_SETUP_CQSIZE, IORING_SETUP_CLAMP
        // One thread alone can have its completions made when it waits, in a batch: IORING_SETUP_SINGLE_ISSUER,
        // IORING_SETUP_DEFER_TASKRUN. Kernels before 6.1 do not know them (EINVAL).
        for flags in ofThread ? [plain | 1 << 12 | 1 << 13, plain] : [plain] {
            var parameters = io_uring_params()
            parameters.flags = flags
            parameters.cq_entries = Self.entries * 4
            let result = io_uring_queue_init_params(Self.entries, ring, &parameters)
            if result == 0 { return ring }
            if result == -EINVAL, flags != plain { continue }
            ring.deallocate()
            throw BlockError("io_uring", "set up", Errno(rawValue: -result))
        }
        preconditionFailure("no way to set a ring up was tried")
    }

    public func shutdown() {
        announcement?.source.setEventHandler {}
        announcement?.source.cancel()
        io_uring_queue_exit(ring)
        ring.deallocate()
        cqes.deallocate()
        // The read of the bell ended with the ring.
        closeQuietly(bell)
        bellCount.deallocate()
    }

    // MARK: Registered things

    public func attach(_ device: BlockDevice) -> AttachedDevice {
        var descriptor = device.descriptor.rawValue
        guard let slot = freeFiles.popLast() else { return AttachedDevice(descriptor: descriptor, slot: -1) }
        if io_uring_register_files_update(ring, UInt32(slot), &descriptor, 1) == 1 {
            return AttachedDevice(descriptor: descriptor, slot: slot)
        }
        freeFiles.append(slot)
        return AttachedDevice(descriptor: descriptor, slot: -1)
    }

    public func detach(_ device: AttachedDevice) {
        guard device.slot >= 0 else { return }
        var none: Int32 = -1
        let result = io_uring_register_files_update(ring, UInt32(device.slot), &none, 1)
        // Older kernels need memory for it. A slot that cannot be emptied is not used again, and holds its device until the
        // ring ends.
        if result == 1 { freeFiles.append(device.slot) }
    }

    public func attach(_ memory: PageMemory) -> Int32 {
        guard memory.length <= 1 << 30, let slot = freeBuffers.popLast() else { return -1 }
        var vector = iovec(iov_base: memory.base, iov_len: memory.length)
        if io_uring_register_buffers_update_tag(ring, UInt32(slot), &vector, nil, 1) == 1 { return slot }
        freeBuffers.append(slot)
        return -1
    }

    public func detach(memorySlot slot: Int32) {
        guard slot >= 0 else { return }
        var none = iovec(iov_base: nil, iov_len: 0)
        let result = io_uring_register_buffers_update_tag(ring, UInt32(slot), &none, nil, 1)
        if result == 1 { freeBuffers.append(slot) }
    }

    // MARK: Submission

    public func prepare(_ operation: IOOperation, tag: UInt64, linked: Bool) {
        // A chain may not be torn by a submission in its middle.
        if io_uring_sq_space_left(ring) < (linked ? 2 : 1) { submit() }
        guard let sqe = io_uring_get_sqe(ring) else {
            preconditionFailure("the submission queue is full after a submission")
        }
        fill(sqe, operation)
        io_uring_sqe_set_data64(sqe, tag)
        if operation.device.slot >= 0 { sqe.pointee.flags |= 1 << 0 }  // IOSQE_FIXED_FILE
        if linked { sqe.pointee.flags |= 1 << 2 }  // IOSQE_IO_LINK
    }

    private func fill(_ sqe: UnsafeMutablePointer<io_uring_sqe>, _ operation: IOOperation) {
        let fd = operation.device.slot >= 0 ? operation.device.slot : operation.device.descriptor
        let address = operation.memory?.address
        let slot = operation.memory?.slot ?? -1
        let length = UInt32(truncatingIfNeeded: operation.length)
        switch operation.kind {
        case .read where slot >= 0:
            io_uring_prep_read_fixed(sqe, fd, address, length, operation.offset, slot)
        case .read:
            io_uring_prep_read(sqe, fd, address, length, operation.offset)
        case .write where slot >= 0:
            io_uring_prep_write_fixed(sqe, fd, address, length, operation.offset, slot)
        case .write:
            io_uring_prep_write(sqe, fd, address, length, operation.offset)
        case .writeZeroes:
            io_uring_prep_fallocate(sqe, fd, clinux_falloc_punch, off_t(operation.offset), off_t(operation.length))
        case .discard:
            io_uring_prep_fallocate(sqe, fd, clinux_falloc_punch, off_t(operation.offset), off_t(operation.length))
        case .flush:
            io_uring_prep_fsync(sqe, fd, 0)
        case .pollIn:
            io_uring_prep_poll_add(sqe, fd, UInt32(POLLIN))
        case .pollOut:
            io_uring_prep_poll_add(sqe, fd, UInt32(POLLOUT))
        }
        if operation.isFUA { sqe.pointee.rw_flags = UInt32(clinux_rwf_dsync) }
    }

    public func submit() {
        while io_uring_sq_ready(ring) > 0 {
            let result = io_uring_submit(ring)
            if result >= 0 || result == -EINTR { continue }
            // The completion queue is full, or memory is short for a moment: what has
            // completed makes room, and the kernel is asked again.
            precondition(
                result == -EBUSY || result == -EAGAIN || result == -ENOMEM, "io_uring_submit answered \(result)")
            if !takeCompletions() { sched_yield() }
        }
    }

    // MARK: Completion

    private func wake() {
        var count: UInt64 = 0
        // Nobody else reads it; that it is empty (EAGAIN) after all does no harm.
        _ = withUnsafeMutableBytes(of: &count) { try? announcement?.event.read(into: $0) }
        onReady?()
    }

    public func wait(count: Int, nanoseconds: UInt64) -> Bool {
        announce(false)
        var time = __kernel_timespec(
            tv_sec: Int64(nanoseconds / 1_000_000_000), tv_nsec: Int64(nanoseconds % 1_000_000_000))
        var first: UnsafeMutablePointer<io_uring_cqe>?
        let result = io_uring_submit_and_wait_timeout(ring, &first, UInt32(count), &time, nil)
        if result < 0, result != -ETIME, result != -EINTR { submit() }
        let some = takeCompletions()
        if !some { announce(true) }
        // What has come between the look and the switch would otherwise stay silent.
        return some ? true : takeCompletions()
    }

    /// Switches the announcements on the eventfd. Refused only where the kernel has no such switch: then the eventfd speaks
    /// too often, no more.
    private func announce(_ enabled: Bool) {
        if announcement != nil { _ = io_uring_cq_eventfd_toggle(ring, enabled) }
    }

    public func interrupt() {
        var one: UInt64 = 1
        // It fails only where the counter is full, and a full bell rings as well.
        _ = withUnsafeBytes(of: &one) { try? bell.write($0) }
    }

    private func listenToBell() {
        if io_uring_sq_space_left(ring) < 1 { submit() }
        guard let sqe = io_uring_get_sqe(ring) else {
            preconditionFailure("the submission queue is full after a submission")
        }
        io_uring_prep_read(sqe, bell.rawValue, bellCount, 8, 0)
        io_uring_sqe_set_data64(sqe, Self.bellTag)
    }

    public func takeCompletions() -> Bool {
        let count = Int(io_uring_peek_batch_cqe(ring, cqes, UInt32(Self.batch)))
        guard count > 0 else { return false }
        // The handler may submit, and come back here: it works on a batch of its own.
        var batch: [RawCompletion] = []
        swap(&batch, &completions)
        batch.removeAll(keepingCapacity: true)
        var rang = false
        for index in 0..<count {
            guard let cqe = cqes[index] else { continue }
            if cqe.pointee.user_data == Self.bellTag {
                rang = true
            } else {
                batch.append(RawCompletion(tag: cqe.pointee.user_data, result: cqe.pointee.res))
            }
        }
        io_uring_cq_advance(ring, UInt32(count))
        if rang { listenToBell() }
        batch.withUnsafeBufferPointer { onCompletions?($0) }
        swap(&batch, &completions)
        return true
    }
}
