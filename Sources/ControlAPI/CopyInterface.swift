/// The Varlink interface `io.ucopyd.Copy`: its description, and its methods as Swift types.
///
/// The description is the contract with other languages; the types below it mirror it field by field.
/// Sizes and positions are bytes where the field says so in its name, sectors of 512 bytes elsewhere.
public enum CopyInterface {
    /// The interface's name.
    public static let name = "io.ucopyd.Copy"

    /// The interface's description, as `org.varlink.service.GetInterfaceDescription` answers it.
    public static let description = """
        # Copies ranges of sectors between block devices, asynchronously, within the page budget that each
        # client sets aside. Sectors are 512 bytes.
        interface io.ucopyd.Copy

        # copyOnWrite goes before resync, and resync before scrub. The default is resync.
        type Priority (copyOnWrite, resync, scrub)

        # One end of a copy. Exactly one of device, path and descriptor names it: a device opened with OpenDevice; a
        # path (for callers with the daemon's own user id); or the index of a file descriptor passed with this call.
        # Without sector it begins at 0; without count a source goes to its end, and a destination is as long as the
        # source.
        type Region (
          device: ?int,
          path: ?string,
          descriptor: ?int,
          name: ?string,
          sector: ?int,
          count: ?int
        )

        # How a job is done. All are false where they are missing. force takes destinations that are mounted or held by
        # another program.
        type Options (
          ignoreErrors: ?bool,
          sequential: ?bool,
          skipHoles: ?bool,
          detectZeroes: ?bool,
          verify: ?bool,
          flush: ?bool,
          force: ?bool
        )

        # An error of a job. destination is missing for the source. sector counts from the start of the region.
        type Fault (
          destination: ?int,
          sector: int,
          count: int,
          errno: int,
          reason: string
        )

        # A job. bytes is what is done of totalBytes; copiedBytes what reached every destination without an error, and
        # everything before resumeAt (in sectors of the region) did. bytesPerSecond and percent are the limits of its
        # client; no bytesPerSecond, no limit.
        type Job (
          job: int,
          client: int,
          name: string,
          kind: (copy, zero),
          state: (running, done, failed, cancelled),
          source: ?string,
          destinations: []string,
          bytes: int,
          totalBytes: int,
          copiedBytes: int,
          resumeAt: int,
          seconds: float,
          bytesPerSecond: ?int,
          percent: int,
          readError: bool,
          writeErrors: []bool,
          faults: []Fault
        )

        # A client. pages is its budget in 4 KiB pages; locked whether they are locked in memory; jobs counts the ones
        # that have not ended.
        type Client (
          client: int,
          name: string,
          priority: Priority,
          pages: int,
          locked: bool,
          pid: int,
          uid: int,
          keep: bool,
          bytesPerSecond: ?int,
          percent: int,
          jobs: int
        )

        # Sets a page budget aside. The client ends with the connection, and its jobs are cancelled then, unless keep is
        # true: then its jobs go on, and it ends with the last of them.
        method CreateClient(
          pages: int,
          name: ?string,
          priority: ?Priority,
          bytesPerSecond: ?int,
          percent: ?int,
          keep: ?bool
        ) -> (client: int)

        # Waits for the client's jobs and gives its pages back. With cancel, the jobs are cancelled first.
        method DestroyClient(client: int, cancel: ?bool) -> ()

        # Opens a device for several jobs of this connection, by path or by passed descriptor. It is closed with
        # CloseDevice or with the connection.
        method OpenDevice(
          path: ?string,
          descriptor: ?int,
          name: ?string,
          writable: ?bool,
          force: ?bool
        ) -> (device: int, sectors: int, logicalBlockSize: int)

        # Closes a device as soon as no job uses it.
        method CloseDevice(device: int) -> ()

        # Starts a copy from one region to 1 to 8 others.
        method Copy(client: int, source: Region, destinations: []Region, options: ?Options) -> (job: int)

        # Starts writing zeroes to 1 to 8 regions.
        method Zero(client: int, regions: []Region, options: ?Options) -> (job: int)

        # All clients and jobs of the daemon, finished jobs that are still remembered among them.
        method List() -> (clients: []Client, jobs: []Job)

        # Tells of one job, or of the jobs of one client. For a job, with more: its state now, then at most once in interval
        # milliseconds (default 200), the last reply when it has ended; without more: one reply, when it has ended. For a
        # client, with more only: one reply for every job that has ended since its creation, in order, and a last one without
        # a job when the client is destroyed.
        method Watch(job: ?int, client: ?int, interval: ?int) -> (job: ?Job)

        # Stops a job and answers when it has stopped.
        method Cancel(job: int) -> (job: Job)

        # Changes the limits of a client, named by itself or by one of its jobs. Without bytesPerSecond there is no such limit;
        # 0 holds the jobs.
        method SetRate(job: ?int, client: ?int, bytesPerSecond: ?int, percent: ?int) -> ()

        # There is no such client, or it belongs to another user.
        error NoSuchClient (client: int)
        # There is no such job, or it belongs to another user.
        error NoSuchJob (job: int)
        # There is no such device on this connection.
        error NoSuchDevice (device: int)
        # A device could not be opened.
        error DeviceFailed (object: string, operation: string, reason: string, errno: int)
        # A request broke a rule; nothing was started.
        error Refused (object: string, reason: string, errno: int)
        # The caller has as many of these as it may have.
        error LimitExceeded (what: string, limit: int)
        # The daemon is stopping and takes no new work.
        error Stopping ()

        """
}
