/// The Varlink interface `io.ucopyd.Target`: its description, and its methods as Swift types.
///
/// The description is the contract with other languages; the types mirror it field by field.
/// Sizes and positions are bytes where the field says so in its name, sectors of 512 bytes elsewhere.
public enum TargetInterface {
    /// The interface's name.
    public static let name = "io.ucopyd.Target"

    /// The interface's description, as `org.varlink.service.GetInterfaceDescription` answers it.
    public static let description = """
        # Mapped devices: named devices made of targets, after the pattern of the device-mapper. Each is exported with the NBD
        # protocol on a Unix socket. Sectors are 512 bytes. A device is named by its name, or else by its uuid.
        #
        # All callers may look. What makes or changes devices is for callers with the daemon's own user id, and for the
        # superuser.
        interface io.ucopyd.Target

        # What happens when a snapshot's store is full. invalidate is what the kernel does: the snapshot cannot be used any
        # more. hold: writers wait until the store has grown. detach: the snapshot ends, its origin goes on.
        type Overflow (invalidate, hold, detach)

        # A mapped device. openCount counts the connections to its socket. eventNumber counts what the kernel's targets call
        # an event. sectors and targets are those of the live table, 0 without one.
        type Device (
          name: string,
          uuid: ?string,
          suspended: bool,
          readOnly: bool,
          deferredRemove: bool,
          liveTable: bool,
          inactiveTable: bool,
          openCount: int,
          eventNumber: int,
          targets: int,
          sectors: int,
          bytes: int,
          socket: string
        )

        # A line of a table. text is the words behind the target, as the kernel prints them.
        type TableLine (start: int, length: int, target: string, text: string)

        # The table of a device.
        type DeviceTable (name: string, uuid: ?string, lines: []TableLine)

        # What a target says of itself. text is the kernel's words; details has the same, and more, in numbers that are
        # numbers and sizes that are bytes.
        type StatusLine (start: int, length: int, target: string, text: string, details: object)

        # The status of a device.
        type DeviceStatus (name: string, uuid: ?string, lines: []StatusLine)

        # The devices that the live table of a device uses: MAJOR:MINOR, or the path of an image file.
        type DeviceDependencies (name: string, uuid: ?string, devices: []string)

        # A kind of target, and the version of the kernel's that it is like.
        type TargetType (name: string, version: []int)

        # The first ten are a device's: made, gone; another name or uuid; another table or size; what was written before it was
        # suspended could not be made durable (flushFailed). The others are a target's: a snapshot has become invalid; its store
        # is full, and it takes no writes (overflow), or writers wait (held) and go on (released), or it has ended (detached);
        # its store is fuller by a tenth (fill); a merge has got on by a tenth, ended, or failed.
        type EventKind (
          created,
          removed,
          renamed,
          suspended,
          resumed,
          loaded,
          cleared,
          removalDeferred,
          resized,
          flushFailed,
          invalidated,
          overflow,
          held,
          released,
          detached,
          fill,
          mergeProgress,
          mergeFinished,
          mergeFailed
        )

        # Something that has happened to a device. number rises by one with every event of the daemon; eventNumber is the
        # device's own, which only the kernel's events raise; time is in seconds since 1970. text is for people. details are
        # those of the targets' status.
        type Event (
          number: int,
          time: float,
          device: string,
          uuid: ?string,
          kind: EventKind,
          text: string,
          eventNumber: int,
          details: object
        )

        # Makes a device. With table, a text of lines as dmsetup reads them, it is made live; without, the device has no table
        # until one is loaded and resumed. readOnly refuses writes. pages is the budget of a target's copies in 4 KiB pages.
        # Either the device is there in the end, exported and serving, or nothing is.
        method Create(
          name: string,
          uuid: ?string,
          table: ?string,
          readOnly: ?bool,
          pages: ?int,
          overflow: ?Overflow
        ) -> (device: Device)

        # Removes a device. One that is in use is refused, unless force ends the connections of those who use it, or deferred
        # leaves it until the last of them has gone: removed is then false.
        method Remove(device: string, force: ?bool, deferred: ?bool) -> (removed: bool)

        # Lets requests wait, and answers when those under way have ended. With noFlush a target may give back what it holds for
        # long. There is no file system to freeze, with or without noLockFS.
        method Suspend(device: string, noFlush: ?bool, noLockFS: ?bool) -> ()

        # Lets requests go on. A table that was loaded takes the place of the live one first.
        method Resume(device: string, noFlush: ?bool, noLockFS: ?bool) -> ()

        # Makes the targets of a second table, which takes effect when the device is resumed. It replaces one that was loaded
        # before. What is missing is as the device was created.
        method Load(device: string, table: string, readOnly: ?bool, pages: ?int, overflow: ?Overflow) -> ()

        # Drops the table that was loaded.
        method Clear(device: string) -> ()

        # Gives a device another name, and its socket with it; or a uuid, once, to a device that has none.
        method Rename(device: string, name: ?string, uuid: ?string) -> (device: Device)

        # Sends words to the target at a sector, and answers what it says.
        method Message(device: string, sector: int, text: string) -> (text: string)

        # The status of one device; of all, by name, where none is named. inactive asks for the table that was loaded.
        method Status(device: ?string, inactive: ?bool) -> (devices: []DeviceStatus)

        # The table of one device; of all, where none is named.
        method Table(device: ?string, inactive: ?bool) -> (devices: []DeviceTable)

        # What one device uses; what all use, where none is named.
        method Dependencies(device: ?string) -> (devices: []DeviceDependencies)

        # A device.
        method Info(device: string) -> (device: Device)

        # All devices, by name; with target, those whose live table has such a target.
        method List(target: ?string) -> (devices: []Device)

        # What kinds of targets tables can have.
        method Targets() -> (targets: []TargetType)

        # Waits until a device's eventNumber is another one than the one given (default 0). With until, waits for an event of one
        # of these kinds instead, and is content with one that came since a table was loaded last; a device that is removed
        # meanwhile is then an error. With more, all events of the device are told meanwhile.
        method Wait(device: string, eventNumber: ?int, until: ?[]EventKind) -> (eventNumber: int, event: ?Event)

        # Tells of all that happens, with more only: to one device, or to all. The first reply has no event: from then on none is
        # missed. Events of a device end when it is removed.
        method Events(device: ?string) -> (event: ?Event)

        # There is no such device.
        error NoSuchDevice (device: string)
        # A device has this name, or this uuid.
        error Exists (object: string, reason: string)
        # A device cannot be removed while it is in use.
        error InUse (device: string, clients: int)
        # A table, a device or a request is not as it has to be; nothing has changed. errno is what the device-mapper answers.
        error Failed (object: string, operation: string, reason: string, errno: int)
        # The daemon is stopping.
        error Stopping ()

        """
}
