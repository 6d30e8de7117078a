public import SystemPackage
public import Varlink

/// A connection to the daemon; calls block until they are answered.
///
/// One call at a time is under way on a connection, so a program that watches while it does other things has a second
/// one. What belongs to a connection (devices; clients that do not `keep`) ends with it.
public final class ControlConnection: Sendable {
    /// The Varlink connection underneath, for calls that have no types here.
    public let varlink: VarlinkConnection

    /// Connects.
    /// - Parameter path: the daemon's socket, by default the one that `ControlSocket.path()` finds.
    /// - Throws: `.connection` where nobody listens there or the caller may not connect.
    public init(path: FilePath = ControlSocket.path()) throws(ControlError) {
        do throws(VarlinkConnectionError) {
            varlink = try VarlinkConnection(path: path)
        } catch {
            throw .connection(error)
        }
    }

    /// Calls a method and waits for its answer.
    /// - Parameters:
    ///   - method: which.
    ///   - parameters: what it takes.
    ///   - descriptors: what the parameters' `descriptor` fields index; at most 16. They stay the caller's.
    /// - Throws: what the daemon replied, or why there is no reply.
    public func call<Method: ControlMethod>(
        _ method: Method.Type, _ parameters: Method.Parameters, descriptors: [FileDescriptor] = []
    ) throws(ControlError) -> Method.Reply {
        do throws(VarlinkCallError) {
            return try varlink.call(Method.method, parameters, descriptors: descriptors)
        } catch {
            throw ControlError(error)
        }
    }

    /// Watches a job until it has ended.
    /// - Parameters:
    ///   - interval: milliseconds between two reports at least; by default the daemon's choice.
    ///   - onReport: gets the job as it stands, the last time when it has ended. Returning false stops watching, and
    ///     ends the connection.
    /// - Returns: the last report; `state` is `running` only if `onReport` stopped it.
    /// - Throws: what the daemon replied, or why there is no reply.
    @discardableResult
    public func watch(
        job: Int, interval: Int? = nil, onReport: (CopyInterface.Job) -> Bool
    ) throws(ControlError) -> CopyInterface.Job? {
        try watch(CopyInterface.Watch.Parameters(job: job, interval: interval), onReport)
    }

    /// Waits until a job has ended.
    /// - Returns: how it ended.
    /// - Throws: what the daemon replied, or why there is no reply.
    public func wait(job: Int) throws(ControlError) -> CopyInterface.Job? {
        try call(CopyInterface.Watch.self, CopyInterface.Watch.Parameters(job: job)).job
    }

    /// Hears of every job of a client that ends, in order, until the client is destroyed.
    /// - Parameter onEnd: gets each job that has ended. Returning false stops watching, and ends the connection.
    /// - Throws: what the daemon replied, or why there is no reply.
    public func watch(client: Int, onEnd: (CopyInterface.Job) -> Bool) throws(ControlError) {
        _ = try watch(CopyInterface.Watch.Parameters(client: client), onEnd)
    }

    private func watch(
        _ parameters: CopyInterface.Watch.Parameters, _ body: (CopyInterface.Job) -> Bool
    ) throws(ControlError) -> CopyInterface.Job? {
        var last: CopyInterface.Job?
        do throws(VarlinkCallError) {
            try varlink.callMore(CopyInterface.Watch.method, parameters) { (reply: CopyInterface.Watch.Reply, _) in
                guard let job = reply.job else { return true }
                last = job
                return body(job)
            }
        } catch {
            throw ControlError(error)
        }
        return last
    }

    /// Ends the connection: a call that waits fails with the code `.shutDown`. Any thread.
    public func shutdown() {
        varlink.shutdown()
    }
}
