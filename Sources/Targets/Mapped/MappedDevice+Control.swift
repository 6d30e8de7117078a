import BlockIO
import SystemPackage

extension MappedDevice {
    /// What an operation calls back with.
    public typealias Completion = (Result<Void, TargetError>) -> Void

    /// Puts a table into the inactive slot; the one that was there is destroyed. The table is the device's now: where it
    /// cannot be loaded it is destroyed.
    /// - Parameter done: called once; ENXIO for a device that was removed.
    public func load(_ table: LoadedTable, _ done: @escaping Completion) {
        operate { [self] in
            if let refusal = absence("load a table") {
                return table.destroy { self.end(.failure(refusal), done) }
            }
            let old = inactive
            inactive = table
            events.tell(.loaded)
            destroy(old) { self.end(.success(()), done) }
        }
    }

    /// Empties the inactive slot.
    public func clear(_ done: @escaping Completion) {
        operate("clear", done) { [self] in
            guard let old = inactive else { return end(.success(()), done) }
            inactive = nil
            events.tell(.cleared)
            destroy(old) { self.end(.success(()), done) }
        }
    }

    /// Holds new requests and waits for those under way, then makes durable what was written. Nothing to do for a device
    /// that is suspended.
    /// - Parameter noflush: leaves the flush out.
    public func suspend(noflush: Bool = false, _ done: @escaping Completion) {
        operate("suspend", done) { [self] in
            guard !isSuspended else { return end(.success(()), done) }
            quiesce(noflush: noflush) { [self] in
                events.tell(.suspended)
                end(.success(()), done)
            }
        }
    }

    /// Serves requests again, with the inactive table where there is one: it takes the live one's place, which is suspended
    /// first where need be and destroyed afterwards. Nothing to do for an active device without an inactive table.
    /// - Parameters:
    ///   - noflush: leaves the flush of the live table out.
    ///   - done: called once, when the old table has been destroyed. What a target says that refuses to resume: the device
    ///     is as before then; EINVAL for a suspended device without a table.
    public func resume(noflush: Bool = false, _ done: @escaping Completion) {
        operate("resume", done) { [self] in
            if let next = inactive { return swap(to: next, noflush: noflush) { [self] in end($0, done) } }
            guard isSuspended else { return end(.success(()), done) }
            guard live != nil else {
                return end(.failure(error("resume", .invalidArgument, "it has no table")), done)
            }
            let result = wake()
            if case .success = result { events.tell(.resumed) }
            end(result, done)
        }
    }

    /// Removes the device.
    /// - Parameters:
    ///   - force: replaces its table by one that fails all I/O, also where it then stays because somebody uses it.
    ///   - deferred: a device that somebody uses is removed as soon as nobody does; that is a success.
    ///   - done: called once, when its targets have been destroyed. EBUSY where somebody uses it.
    public func remove(force: Bool = false, deferred: Bool = false, _ done: @escaping Completion) {
        operate("remove", done) { [self] in
            guard force else { return removeUnlessOpen(deferred: deferred, done) }
            failEverything { [self] result in
                if case .failure = result { return end(result, done) }
                removeUnlessOpen(deferred: deferred, done)
            }
        }
    }

    private func removeUnlessOpen(deferred: Bool, _ done: @escaping Completion) {
        if openCount == 0 { return tearDown { self.end(.success(()), done) } }
        guard deferred else {
            let users = openCount == 1 ? "somebody uses it" : "\(openCount) use it"
            return end(.failure(error("remove", .resourceBusy, users)), done)
        }
        if !isRemovalDeferred {
            isRemovalDeferred = true
            events.tell(.removalDeferred)
        }
        end(.success(()), done)
    }

    // MARK: Steps

    private func destroy(_ table: LoadedTable?, _ done: @escaping () -> Void) {
        if let table { table.destroy(done) } else { done() }
    }

    /// Brings the device from active to suspended.
    private func quiesce(noflush: Bool, _ done: @escaping () -> Void) {
        router.block()
        let targets = live?.segments.map(\.target) ?? []
        let router = router
        let finish = { [self] in
            for target in targets { target.postsuspend() }
            isSuspended = true
            done()
        }
        let stopped = Countdown(targets.count) { [self] in
            router.whenDrained { [self] in
                if noflush || targets.isEmpty { return finish() }
                router.flush { [self] errno in
                    if errno != 0 { events.tell(.flushFailed(errno: errno)) }
                    // Its own end is not told before this returns.
                    router.whenDrained(finish)
                }
            }
        }
        for target in targets { target.presuspend(requeue: { router.requeue($0) }, done: { stopped.one() }) }
    }

    /// Brings the device from suspended to active, with the table that is bound; or leaves it as it is.
    private func wake() -> Result<Void, TargetError> {
        guard let live else { return .success(()) }
        do throws(TargetError) { try Self.preresume(live) } catch { return .failure(error) }
        serve(live)
        return .success(())
    }

    private static func preresume(_ table: LoadedTable) throws(TargetError) {
        for segment in table.segments { try segment.target.preresume() }
    }

    private func serve(_ table: LoadedTable) {
        for segment in table.segments { segment.target.resume() }
        router.refreshLimits()
        isSuspended = false
        router.unblock()
    }

    private func swap(to next: LoadedTable, noflush: Bool, _ done: @escaping Completion) {
        if isSuspended { return replace(with: next, done) }
        quiesce(noflush: noflush) { [self] in
            replace(with: next) { [self] result in
                guard case .failure(let refusal) = result else { return done(result) }
                guard case .failure(let second) = wake() else { return done(result) }
                events.tell(.suspended)
                done(
                    .failure(
                        TargetError(
                            refusal.object, refusal.operation, refusal.errno,
                            "\(refusal.reason); the device stays suspended: \(second)")))
            }
        }
    }

    /// Puts a table into the place of the live one of a suspended device, and serves.
    private func replace(with next: LoadedTable, _ done: @escaping Completion) {
        do throws(TargetError) { try Self.preresume(next) } catch { return done(.failure(error)) }
        let old = live
        let size = sectors
        for segment in old?.segments ?? [] { segment.target.onEvent = nil }
        router.bind(next)
        if inactive === next { inactive = nil }
        for segment in next.segments {
            segment.target.onEvent = { [weak self] event in self?.told(event) }
        }
        serve(next)
        events.tell(.resumed)
        if size != sectors { events.tell(.resized(from: size, to: sectors)) }
        destroy(old) { done(.success(())) }
    }

    private func told(_ event: TargetEvent) {
        if event.isKernels { events.raise() }
        events.tell(.target(event))
        guard event.kind == .detached else { return }
        // A snapshot that has ended goes with its last user; not now, for the target is in the middle of something. Refused
        // only where the device has been removed.
        host.environment.later { [weak self] in self?.remove(deferred: true) { _ in } }
    }

    /// Has a table of the same size that fails all I/O take the place of both tables.
    private func failEverything(_ done: @escaping Completion) {
        let dropped = inactive
        inactive = nil
        destroy(dropped) { [self] in
            guard let live else { return done(.success(())) }
            let segment = LoadedTable.Segment(
                range: SectorRange(start: 0, count: live.sectors), target: ErrorTarget())
            do throws(TargetError) {
                swap(to: try LoadedTable([segment], isReadOnly: live.isReadOnly), noflush: true, done)
            } catch {
                done(.failure(error))
            }
        }
    }

    /// Ends both tables and the device.
    private func tearDown(_ done: @escaping () -> Void) {
        let old = inactive
        inactive = nil
        let finish = { [self] in
            let table = live
            router.bind(nil)
            isSuspended = false
            isRemoved = true
            isRemovalDeferred = false
            destroy(table) { [self] in
                destroy(old) { [self] in
                    // What came before this moment has nobody to serve it.
                    router.unblock()
                    events.raise()
                    events.tell(.removed)
                    done()
                }
            }
        }
        if isSuspended { finish() } else { quiesce(noflush: true, finish) }
    }
}
