"""The rows of the targets: mapped devices served to NBD clients, beside qemu-storage-daemon where it has something alike, and
beside themselves.

All clients are fio's nbd engine with 32 requests at a time, over a Unix socket, and everything is in image files. As to qemu:
its export runs in the main loop, for 7.2 does not survive the end of a connection to an export in an iothread; it is measured
with its threads and with io_uring, and the faster of the two counts. Its copy-before-write node writes into a raw file that is
allocated before, which spares it both the metadata of qcow2 and the allocation; it keeps nothing that would survive its end.
"""

import contextlib
import mmap
import os
import subprocess
import time

from nbd import digest_of_export, digest_of_file, file_node, fio_rate, storage_daemon
from rig import MIB, Failed, output_of
from stores import Store, forget
from table import Part, take_turns

SECTOR = 512
CHUNK = 64 << 10
MERGE_CHUNK = 16 << 10
ENGINES = {"qsd": "threads", "qsd-uring": "io_uring"}


class TargetRows(Part):
    works = {
        "linear-read": "linear: 4 KiB random reads",
        "linear-write": "linear: 4 KiB random writes",
        "first-64k": "origin with 1 snapshot: 64 KiB first writes",
        "eight-64k": "origin with 8 snapshots: 64 KiB first writes",
        "first-4k": "origin with 1 snapshot: 4 KiB random writes",
        "eight-4k": "origin with 8 snapshots: 4 KiB random writes",
        "origin-read": "origin, all chunks copied: 4 KiB random reads",
        "origin-write": "origin, all chunks copied: 4 KiB random writes",
        "snapshot-read": "snapshot, all chunks copied: 4 KiB random reads",
        "snapshot-write": "snapshot, all chunks copied: 4 KiB random writes",
        "load": "load of a store of 4 Mi random exceptions: wall time",
        "load-memory": "daemon's memory for each of its exceptions",
        "merge": "merge of 1 GiB of random 16 KiB chunks: rate",
    }

    def __init__(self, rig, options, wanted):
        super().__init__(rig, options, wanted)
        self.size = (128 if options.quick else 1024) * MIB
        self.exceptions = (512 << 10) if options.quick else (4 << 20)
        # What is to be taken away before the next program runs.
        self.stage = contextlib.ExitStack()

    @staticmethod
    def need(quick):
        return (1600 if quick else 10_500) * MIB

    def run(self):
        with self.stage:
            if self.wanted & {"load", "load-memory"}:
                self.load()
            if self.wanted & {"linear-read", "linear-write", "first-64k", "first-4k", "eight-64k", "eight-4k", "origin-read",
                              "origin-write", "snapshot-read", "snapshot-write"}:
                self.on_origin()
            if "merge" in self.wanted:
                self.merge()

    # -- devices

    def create(self, name, sectors, line, stage=None):
        """A mapped device of one target, until the stage is left: its socket."""
        self.rig.ucopyctl("create", name, "--table", f"0 {sectors} {line}")
        (stage or self.stage).callback(self.rig.ucopyctl, "remove", "--force", name)
        return self.rig.socket(name)

    def snapshots(self, count, origin, stores):
        """New snapshots of the origin, and the device to write to: their sockets."""
        sectors = self.size // SECTOR
        for store in stores[:count]:
            forget(store)
        sockets = [self.create(f"snapshot{number}", sectors, f"snapshot {origin} {store} P {CHUNK // SECTOR}")
                   for number, store in enumerate(stores[:count])]
        return self.create("origin", sectors, f"snapshot-origin {origin}"), sockets

    # -- rows on an origin

    def on_origin(self):
        print(f"origin: {self.size // MIB} MiB of random data in an image file", flush=True)
        origin = self.rig.image("origin.img", self.size, fill=lambda offset, length: os.urandom(length))
        count = 8 if self.wanted & {"eight-64k", "eight-4k"} else 1
        room = self.size + self.size // CHUNK // (CHUNK // 16) * CHUNK + 4 * CHUNK
        stores = [self.rig.image(f"store{number}.img", room) for number in range(count)]
        for kind in ("read", "write"):
            if f"linear-{kind}" in self.wanted:
                self.linear(kind, origin)
        for block, name in ((CHUNK, "64k"), (4096, "4k")):
            if self.wanted & {f"first-{name}", f"eight-{name}"}:
                self.first_writes(block, name, origin, stores)
        for kind in ("read", "write"):
            if self.wanted & {f"origin-{kind}", f"snapshot-{kind}"}:
                self.copied(kind, origin, stores)
        for image in [origin, *stores]:
            os.unlink(image)

    def small_requests(self, socket, kind):
        """The rate of 4 KiB requests, no block twice."""
        return fio_rate(self.rig, socket, f"rand{kind}", 4096, min(100_000, self.size // 4096), self.size)

    def linear(self, kind, origin):
        sockets = {"ucopyd": self.create("linear", self.size // SECTOR, f"linear {origin} 0")}
        for name, aio in ENGINES.items():
            sockets[name] = self.stage.enter_context(
                storage_daemon(self.rig, name, [file_node("file", origin, aio)], "file"))
        programs = {name: lambda socket=socket: self.small_requests(socket, kind) for name, socket in sockets.items()}
        self.add_rates(f"linear-{kind}", take_turns(programs, self.rounds), 2)
        self.stage.close()

    def add_rates(self, name, values, bar, ours="ucopyd"):
        self.add_best(name, values, bar, unit="1000/s", scale=1e-3, ours=ours, at_least=True)

    def first_writes(self, block, name, origin, stores):
        """As many writes as the origin has chunks, at random places: of whole chunks each is the first to its chunk; of 4 KiB
        five in eight are. Before every run the snapshots are new, and qemu has not copied anything."""
        ours = {"ucopyd": 1} | ({"8 snaps": 8} if f"eight-{name}" in self.wanted else {})
        peers = ENGINES if f"first-{name}" in self.wanted else {}
        state = {}

        def prepare(program):
            self.stage.close()
            if program in ours:
                state["socket"], state["snapshots"] = self.snapshots(ours[program], origin, stores)
            else:
                aio = peers[program]
                nodes = [file_node("file", origin, aio), file_node("kept", stores[0], aio),
                         "driver=copy-before-write,node-name=filter,file=file,target=kept"]
                state["socket"] = self.stage.enter_context(storage_daemon(self.rig, program, nodes, "filter"))
            if program not in state:
                state[program] = digest_of_file(origin, self.size)

        def check(program):
            """That the old data has been kept, in the first and the last snapshot. Of chunks that were not all written to qemu
            has kept only some."""
            if program in ours:
                kept = map(digest_of_export, {state["snapshots"][0], state["snapshots"][-1]})
            else:
                kept = [digest_of_file(stores[0], self.size)] if block == CHUNK else []
            if any(digest != state[program] for digest in kept):
                raise Failed(f"{program} has not kept what was overwritten")

        def run():
            return fio_rate(self.rig, state["socket"], "randwrite", block, self.size // CHUNK, self.size)

        values = take_turns(dict.fromkeys([*ours, *peers], run), self.rounds, prepare, check)
        self.stage.close()
        if peers:
            self.add_rates(f"first-{name}", {key: values[key] for key in ("ucopyd", *peers)}, 2 if block == CHUNK else 1.5)
        if len(ours) > 1:
            with_one = {"1 snap": values["ucopyd"], "8 snaps": values["8 snaps"]}
            self.add_rates(f"eight-{name}", with_one, 0.6, ours="8 snaps")

    def copied(self, kind, origin, stores):
        """Everything has been copied: the origin is written to, and the snapshot is read and written in its store. Beside it
        a linear target on the origin's image."""
        linear = self.create("linear", self.size // SECTOR, f"linear {origin} 0")
        written, (snapshot,) = self.snapshots(1, origin, stores)
        fio_rate(self.rig, written, "randwrite", CHUNK, self.size // CHUNK, self.size)
        sockets = {"linear": linear, "origin": written, "snapshot": snapshot}
        programs = {name: lambda socket=socket: self.small_requests(socket, kind) for name, socket in sockets.items()}
        values = take_turns(programs, self.rounds)
        for name in ("origin", "snapshot"):
            if f"{name}-{kind}" in self.wanted:
                self.add_rates(f"{name}-{kind}", {key: values[key] for key in (name, "linear")}, 0.9, ours=name)
        self.stage.close()

    # -- rows on stores

    def load(self):
        """From the call of `ucopyctl create` to its end, in a daemon of its own. dd reads the same areas out of a file in which
        they lie one behind the other, an area with each call and with direct I/O, as a loader does: reading them where they
        are would take a dd for each area, and most of that would be the start of processes."""
        print(f"store: {self.exceptions} random exceptions", flush=True)
        store = Store(self.exceptions, 2 * self.exceptions, CHUNK)
        origin = self.rig.sparse_image("origin.img", 2 * self.exceptions * CHUNK)
        image = self.rig.sparse_image("store.img", store.size)
        store.write(image)
        areas = self.rig.path("areas.img")
        with open(areas, "wb") as file:
            for _, content in store.areas():
                file.write(content)
        line = f"0 {2 * self.exceptions * CHUNK // SECTOR} snapshot {origin} {image} P {CHUNK // SECTOR}"
        self.rig.restart_daemon()
        memory = []

        def ours():
            before = self.rig.memory_of(self.rig.daemon.pid, "VmRSS")
            usage = self.rig.ucopyctl("create", "loaded", "--table", line)
            self.stage.callback(self.rig.ucopyctl, "remove", "loaded")
            memory.append((self.rig.memory_of(self.rig.daemon.pid, "VmRSS") - before) / self.exceptions)
            return usage.wall

        def dd():
            return self.rig.run("dd", f"if={areas}", "of=/dev/null", f"bs={CHUNK}", "iflag=direct", "status=none").wall

        values = take_turns({"ucopyd": ours, "dd": dd}, self.rounds, lambda _: self.stage.close())
        self.stage.close()
        if "load" in self.wanted:
            self.add_best("load", values, 3)
        if "load-memory" in self.wanted:
            # Later ones are put where the first one was.
            self.add("load-memory", "bytes", memory[0], None, "", memory[0], 24, raw={"ucopyd": memory})
        for path in (origin, image, areas):
            os.unlink(path)

    def merge(self):
        """Half of the chunks of the origin are in the store; ours is the time from `ucopyctl resume` with a table of
        snapshot-merge to the event that tells the end. Beside it the same copy service copies as many blocks from the store's
        image to random places of the origin's, 64 at a time, in a process of its own (randomcopy.c)."""
        count = self.size // MERGE_CHUNK
        size = 2 * self.size
        print(f"origin: {size // MIB} MiB, of which {self.size // MIB} MiB are to be merged", flush=True)
        store = Store(count, 2 * count, MERGE_CHUNK)
        origin = self.rig.image("origin.img", size, fill=lambda offset, length: os.urandom(length))
        image = self.rig.image("store.img", store.size, fill=lambda offset, length: os.urandom(length))
        copy = self.rig.compile("randomcopy")
        words = f"{origin} {image} P {MERGE_CHUNK // SECTOR}"

        def prepare(program):
            self.stage.close()
            if program == "ucopyd":
                store.write(image)
                self.create("merged", size // SECTOR, f"snapshot {words}")
                self.rig.ucopyctl("suspend", "merged")
                self.rig.ucopyctl("reload", "merged", "--table", f"0 {size // SECTOR} snapshot-merge {words}")

        def ours():
            waiter = subprocess.Popen([self.rig.program("ucopyctl"), "wait", "--until", "mergeFinished", "merged"])
            self.rig.servers.append(waiter)
            time.sleep(0.3)
            begin = time.perf_counter()
            self.rig.ucopyctl("resume", "merged")
            if waiter.wait(600) != 0:
                raise Failed("the merge did not come to its end")
            self.rig.servers.remove(waiter)
            return count / (time.perf_counter() - begin)

        def copies():
            return count / float(output_of(copy, image, origin, str(count), "64", str(MERGE_CHUNK)))

        def check(program):
            if program == "ucopyd" and not merged(store, origin, image):
                raise Failed("a chunk that was merged is not what the store has")

        values = take_turns({"ucopyd": ours, "copy": copies}, self.rounds, prepare, check)
        self.stage.close()
        self.add_rates("merge", values, 0.5)
        for path in (origin, image):
            os.unlink(path)


def merged(store, origin, image):
    """Whether every chunk of the store is where its exception says."""
    length = store.chunk_bytes
    with open(origin, "rb") as there, open(image, "rb") as here, \
            mmap.mmap(there.fileno(), 0, prot=mmap.PROT_READ) as old, mmap.mmap(here.fileno(), 0, prot=mmap.PROT_READ) as new:
        return all(old[a * length:(a + 1) * length] == new[b * length:(b + 1) * length]
                   for a, b in zip(store.old, store.new))
