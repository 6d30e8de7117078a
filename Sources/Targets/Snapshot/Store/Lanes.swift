import Dispatch
import Glibc
import Synchronization

/// Work that is shared out among a few threads, and waited for.
enum Lanes {
    /// Threads that take part: as many as there are processors, within reason.
    static let count = min(max(sysconf(Int32(_SC_NPROCESSORS_ONLN)), 1), 8)

    /// Calls a body with each number below `jobs`, in ascending order of their beginnings, and with the number of the
    /// lane that does it: no two threads are in a lane at the same time. Returns when all have ended.
    static func perform(_ jobs: Int, lanes: Int = count, _ body: (_ job: Int, _ lane: Int) -> Void) {
        let next = Atomic<Int>(0)
        withoutActuallyEscaping(body) { body in
            // Several threads call it at the same time, and none when this returns; lanes keep what they change apart.
            nonisolated(unsafe) let body = body
            DispatchQueue.concurrentPerform(iterations: lanes) { lane in
                while true {
                    let job = next.add(1, ordering: .relaxed).oldValue
                    guard job < jobs else { return }
                    body(job, lane)
                }
            }
        }
    }
}
