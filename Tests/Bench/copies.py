"""The rows of the copy service: what it takes to copy, beside dd, qemu-img, nbdcopy and fio."""

import json
import os
import statistics
import time

from rig import MIB, Failed, Usage, output_of
from table import Part, spread, take_turns


class CopyRows(Part):
    works = {
        "one": "1 to 1, through the daemon: wall time",
        "cpu": "the same: processor time, daemon and client",
        "three": "1 to 3 in one job, others three times: wall time",
        "random": "4 KiB random copies, 64 outstanding, in-process: rate",
        "fair": "4 KiB copy beside 100 large jobs of another client",
        "holes": "90 % holes, image files, --sparse: wall time",
        "zeroes": "90 % zeroes, loop devices, --sparse: wall time",
        "small": "1 MiB, --local, whole process: wall time",
        "memory": "daemon's peak memory beyond the budget, copying",
        "idle": "daemon's memory, idle",
    }

    def __init__(self, rig, options, wanted):
        super().__init__(rig, options, wanted)
        self.size = (256 if options.quick else 2048) * MIB

    @staticmethod
    def need(quick):
        return (1100 if quick else 8500) * MIB

    def compare_wall(self, name, programs, bar, prepare=None, check=None, rounds=None):
        """Runs all programs in turn; adds a row of wall times."""
        results = take_turns(programs, rounds or self.rounds, prepare and (lambda _: prepare()), check)
        self.add_best(name, {program: [usage.wall for usage in usages] for program, usages in results.items()}, bar)

    # -- the programs

    def dd(self, source, destination):
        return self.rig.run("dd", f"if={source}", f"of={destination}", "bs=1M", "iflag=direct", "oflag=direct",
                            "status=none")

    def qemu_img(self, source, destination):
        return self.rig.run("qemu-img", "convert", "-n", "-W", "-m", "16", "-t", "none", "-T", "none", "-f", "raw",
                            "-O", "raw", source, destination)

    def nbdcopy(self, source, destination):
        return self.rig.run("nbdcopy", source, destination)

    def others(self, source, destinations):
        def repeated(program):
            return lambda: sum((program(source, destination) for destination in destinations), Usage(0, 0))

        return {"dd": repeated(self.dd), "qemu-img": repeated(self.qemu_img), "nbdcopy": repeated(self.nbdcopy)}

    def same(self, source, destinations):
        def check(program):
            for destination in destinations:
                try:
                    output_of("cmp", source, destination)
                except Failed as failure:
                    raise Failed(f"{program} made a wrong copy: {failure}") from None

        return check

    # -- the rows

    def run(self):
        if self.wanted & {"one", "cpu", "three", "random", "fair", "small"}:
            self.on_loops()
        if "zeroes" in self.wanted:
            self.zeroes()
        if "holes" in self.wanted:
            self.holes()
        if "memory" in self.wanted:
            self.memory()
        if "idle" in self.wanted:
            self.idle()

    def on_loops(self):
        print(f"source: {self.size // MIB} MiB of random data on a loop device", flush=True)
        source_image = self.rig.image("source.img", self.size, fill=lambda offset, length: os.urandom(length))
        images = [self.rig.image(f"copy{number}.img", self.size) for number in (1, 2, 3)]
        source, *copies = [self.rig.loop(image) for image in [source_image] + images]

        def refill():
            for image in images:
                self.rig.refill(image)

        if self.wanted & {"one", "cpu"}:
            self.one(source, copies[0], refill)
        if "three" in self.wanted:
            ours = {"ucopyd": lambda: self.rig.ucopyctl("copy", source, *copies)}
            self.compare_wall("three", ours | self.others(source, copies), 0.5, refill, self.same(source, copies))
        if "random" in self.wanted:
            self.random(source, copies[0])
        if "fair" in self.wanted:
            self.fair(source, copies[0], copies[1])
        if "small" in self.wanted:
            self.small(source, copies[0])
        for device in [source, *copies]:
            output_of("losetup", "--detach", device)
        for image in [source_image, *images]:
            os.unlink(image)

    def one(self, source, copy, refill):
        ours = {"ucopyd": lambda: self.rig.ucopyctl("copy", source, copy)}
        programs = ours | self.others(source, [copy])
        results = take_turns(programs, self.rounds, lambda _: refill(), self.same(source, [copy]))
        for name, value, bar in (("one", "wall", 0.75), ("cpu", "cpu", 0.7)):
            if name in self.wanted:
                self.add_best(name, {key: [getattr(run, value) for run in runs] for key, runs in results.items()}, bar)

    def random(self, source, copy):
        """200 000 jobs against the time of fio's 200 000 reads plus the time of its 200 000 writes, one after the other:
        the ratio is fio's time over ours, that is our rate over 1 / (1 / reads per second + 1 / writes per second)."""
        jobs = min(200_000, self.size // 4096 // 2)
        program = self.rig.compile("randomcopy")
        fio_file = self.rig.path("fio.json")

        def fio(kind, device):
            self.rig.run("fio", "--name=random", f"--filename={device}", f"--rw={kind}", "--ioengine=io_uring", "--direct=1",
                         "--bs=4k", "--iodepth=64", f"--number_ios={jobs}", f"--size={self.size}", "--randrepeat=0",
                         "--output-format=json", f"--output={fio_file}")
            with open(fio_file) as file:
                side = json.load(file)["jobs"][0]["read" if kind == "randread" else "write"]
            if side["total_ios"] < jobs:
                raise Failed(f"fio did {side['total_ios']} of {jobs} {kind} requests")
            return side["runtime"] / 1000 * jobs / side["total_ios"]

        ours, reads, writes = [], [], []
        for _ in range(self.rounds):
            ours.append(float(output_of(program, source, copy, str(jobs), "64", "4096")))
            reads.append(fio("randread", source))
            writes.append(fio("randwrite", copy))
        both = [read + write for read, write in zip(reads, writes)]
        rate, fio_rate = jobs / statistics.median(ours), jobs / statistics.median(both)
        self.add("random", "1000/s", rate / 1000, fio_rate / 1000, "fio", rate / fio_rate, 0.6, at_least=True,
                 spread=spread(ours), raw={"ucopyd": ours, "fio reads": reads, "fio writes": writes})

    def fair(self, source, copy, small_copy):
        """One client copies 4 KiB at a time, alone and while another has a hundred jobs over 2 GiB: what it waits for is what
        the devices already have, not the jobs. Shown: the 99th percentile beside them, and alone; no bar."""
        program = self.rig.compile("latency")
        columns = zip(*[[float(time) / 1e6 for time in output_of(program, source, copy, small_copy, "2000").split()]
                        for _ in range(self.rounds)])
        names = ("median alone", "99 % alone", "median beside", "99 % beside")
        raw = dict(zip(names, map(list, columns)))
        beside, alone = statistics.median(raw["99 % beside"]), statistics.median(raw["99 % alone"])
        self.add("fair", "s", beside, alone, "alone", beside / alone, None, spread=spread(raw["99 % beside"]), raw=raw)

    def small(self, source, copy):
        ctl = self.rig.program("ucopyctl")
        programs = {
            "ucopyd": lambda: self.rig.run(ctl, "copy", "--local", f"{source}@0+{MIB // 512}", copy),
            "dd": lambda: self.rig.run("dd", f"if={source}", f"of={copy}", "bs=1M", "count=1", "iflag=direct",
                                       "oflag=direct", "status=none"),
        }
        self.compare_wall("small", programs, 3, rounds=self.rounds * 10)

    def one_in_ten(self, offset):
        """A mebibyte of data in every ten."""
        return os.urandom(MIB) if offset // MIB % 10 == 0 else None

    def zeroes(self):
        """The zeroes are written, and a device does not tell where it has none: every program has to read them."""
        images = [
            self.rig.image("zeroes.img", self.size, fill=lambda offset, length: self.one_in_ten(offset) or bytes(length)),
            self.rig.image("copy.img", self.size),
        ]
        source, copy = [self.rig.loop(image) for image in images]
        programs = {"ucopyd": lambda: self.rig.ucopyctl("copy", "--sparse", source, copy)} | self.others(source, [copy])
        del programs["dd"]
        self.compare_wall("zeroes", programs, 1.1, lambda: self.rig.refill(images[1]), self.same(source, [copy]))
        for device, image in zip((source, copy), images):
            output_of("losetup", "--detach", device)
            os.unlink(image)

    def holes(self):
        """Image files: the file system knows where the holes are. The copy begins as one hole."""
        source = self.rig.sparse_image("holes.img", self.size, self.one_in_ten)
        copy = self.rig.path("copy.img")
        programs = {"ucopyd": lambda: self.rig.ucopyctl("copy", "--sparse", source, copy)} | self.others(source, [copy])
        del programs["dd"]
        self.compare_wall("holes", programs, 1.1, lambda: self.rig.sparse_image("copy.img", self.size),
                          self.same(source, [copy]))
        for image in (source, copy):
            os.unlink(image)

    def memory(self):
        """16 GiB of holes with a mebibyte of data in every 64, read and written whole into a file that forgets them, and once
        more with --sparse into a file of holes. Peak resident memory less the budget; the bar is what may come on top."""
        size = (1 if self.quick else 16) * 1024 * MIB
        pages = 4096
        source = self.rig.sparse_image("large.img", size, lambda offset: os.urandom(MIB) if offset // MIB % 64 == 0 else None)
        peaks = {}
        for kind, copy, flags in (
            ("whole", self.rig.null_file(size), []),
            ("sparse", self.rig.sparse_image("copy.img", size), ["--sparse"]),
        ):
            with open(f"/proc/{self.rig.daemon.pid}/clear_refs", "w") as file:
                file.write("5")  # begins VmHWM anew
            self.rig.ucopyctl("copy", "--pages", str(pages), *flags, source, copy)
            peaks[kind] = self.rig.memory_of(self.rig.daemon.pid, "VmHWM") / MIB
        beyond = max(peaks.values()) - pages * 4096 / MIB
        self.add("memory", "MiB", beyond, None, "", beyond, 32, raw={"budget": pages * 4096 / MIB, "peak": peaks})
        for image in (source, copy):
            os.unlink(image)

    def idle(self):
        """What the daemon keeps when there is no client any more."""
        time.sleep(1)
        resident = self.rig.memory_of(self.rig.daemon.pid, "VmRSS") / MIB
        self.add("idle", "MiB", resident, None, "", resident, 32, raw={"resident": resident})
