"""What a measurement stands on: images, loop devices, the daemon, processes with their times. Everything it makes is taken
away when the rig is closed, whatever happens; what is attached is read from the system, not remembered."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = 1 << 20
TICK = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A command that had to work did not."""


class Usage:
    """Wall-clock seconds, and seconds of processor time in user and kernel mode, of one run."""

    def __init__(self, wall, cpu):
        self.wall, self.cpu = wall, cpu

    def __add__(self, other):
        return Usage(self.wall + other.wall, self.cpu + other.cpu)


def output_of(*command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise Failed(f"{' '.join(command)}: status {result.returncode}: {result.stderr.strip()}")
    return result.stdout


class Rig:
    def __init__(self, programs):
        self.programs = os.path.abspath(programs)
        self.folder = None
        self.daemon = None
        self.child = None
        self.mounts = []
        self.servers = []

    def make_folder(self, need):
        """Makes a folder with room for `need` bytes, in memory where it fits."""
        self.folder = tempfile.mkdtemp(prefix="ucopyd-bench.", dir=self._base(need))

    @property
    def in_memory(self):
        return self.folder.startswith("/dev/shm/")

    @staticmethod
    def _base(need):
        with open("/proc/meminfo") as file:
            available = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))
        for base, limit in (("/dev/shm", available - 2048 * MIB), (os.environ.get("TMPDIR", "/tmp"), None)):
            if os.access(base, os.W_OK):
                free = shutil.disk_usage(base).free
                if min(free, free if limit is None else limit) >= need:
                    return base
        raise Failed(f"neither /dev/shm nor the folder for temporary files has room for {need // MIB} MiB")

    # -- images and devices

    def path(self, name):
        return os.path.join(self.folder, name)

    def image(self, name, size, fill=None):
        """An image file: full of what fill(offset, length) answers, else of allocated zeroes."""
        path = self.path(name)
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
            for offset in range(0, size if fill else 0, MIB):
                file.seek(offset)
                file.write(fill(offset, min(MIB, size - offset)))
        return path

    def sparse_image(self, name, size, fill=None):
        """An image file of holes, but for the mebibytes for which fill(offset) answers something."""
        path = self.path(name)
        with open(path, "wb") as file:
            file.truncate(size)
            for offset in range(0, size if fill else 0, MIB):
                data = fill(offset)
                if data:
                    file.seek(offset)
                    file.write(data)
        return path

    def loop(self, image):
        """A loop device over an image, with direct I/O."""
        try:
            device = output_of("losetup", "--find", "--show", image).strip()
        except Failed as failure:
            raise Failed(f"the measurements need loop devices: {failure}") from None
        try:
            output_of("losetup", "--direct-io=on", device)
        except Failed as failure:
            print(f"bench: {device} works without direct I/O: {failure}")
        return device

    def refill(self, image):
        """Allocates again what a program punched out of an image, so that every run begins alike."""
        with open(image, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)

    def null_file(self, size):
        """A file that forgets what is written to it: an nbdkit null server mounted through nbdfuse."""
        path = self.path("null")
        with open(path, "w"):
            pass
        self.mounts.append(
            (path, subprocess.Popen(
                ["nbdfuse", path, "[", "nbdkit", "--exit-with-parent", "null", str(size), "]"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)))
        for _ in range(100):
            if os.path.getsize(path) == size:
                return path
            time.sleep(0.1)
        raise Failed("nbdfuse did not mount the null server")

    # -- processes

    def run(self, *command, cpu_of=()):
        """Runs a command, and answers its times; the processor time of the processes cpu_of is added."""
        before = sum(self.cpu_of(pid) for pid in cpu_of)
        with tempfile.TemporaryFile(dir=self.folder) as errors:
            begin = time.perf_counter()
            self.child = os.posix_spawnp(
                command[0], command, os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
                ],
                setpgroup=0)
            _, status, resources = os.wait4(self.child, 0)
            wall = time.perf_counter() - begin
            self.child = None
            if status != 0:
                errors.seek(0)
                text = errors.read().decode(errors="replace").strip()
                raise Failed(f"{' '.join(command)}: status {os.waitstatus_to_exitcode(status)}: {text}")
        after = sum(self.cpu_of(pid) for pid in cpu_of)
        return Usage(wall, resources.ru_utime + resources.ru_stime + after - before)

    @staticmethod
    def cpu_of(pid):
        """Processor seconds that a process has used, all its threads together."""
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    @staticmethod
    def memory_of(pid, field):
        with open(f"/proc/{pid}/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field + ":"))

    def start_daemon(self):
        directory = self.path("run")
        os.makedirs(directory, exist_ok=True)
        log = open(self.path("ucopyd.log"), "wb")
        self.daemon = subprocess.Popen(
            [os.path.join(self.programs, "ucopyd"), "--runtime-directory", directory],
            stdout=log, stderr=log, start_new_session=True)
        os.environ["UCOPYD_SOCKET"] = os.path.join(directory, "io.ucopyd")
        for _ in range(100):
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(os.environ["UCOPYD_SOCKET"])
                return
            if self.daemon.poll() is not None:
                break
            time.sleep(0.1)
        with open(self.path("ucopyd.log")) as file:
            raise Failed(f"ucopyd did not start: {file.read().strip()}")

    def restart_daemon(self):
        """A daemon that has not done anything yet."""
        end(self.daemon)
        self.start_daemon()

    def program(self, name):
        return os.path.join(self.programs, name)

    def ucopyctl(self, *arguments):
        return self.run(self.program("ucopyctl"), *arguments, cpu_of=[self.daemon.pid])

    def socket(self, name):
        """Where the daemon exports a mapped device."""
        return self.path(f"run/nbd/{name}.sock")

    def compile(self, name):
        """Builds a C program of this folder against the library, named as an installation names it."""
        for link in ("libkcopyd.so", "libkcopyd.so.0"):
            if not os.path.exists(self.path(link)):
                os.symlink(os.path.join(self.programs, "libkcopyd.so"), self.path(link))
        program = self.path(name)
        output_of("gcc", "-std=c99", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra",
                  f"-I{HERE}/../../Sources/CKCopyd/include", "-o", program, f"{HERE}/{name}.c", f"-L{self.folder}",
                  f"-Wl,-rpath,{self.folder}", "-lkcopyd", "-lpthread")
        return program

    # -- the end

    def close(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if self.folder is None:
            return
        if self.child is not None:
            with contextlib.suppress(OSError):
                os.killpg(self.child, signal.SIGKILL)
                os.waitpid(self.child, 0)
        if self.daemon is not None:
            end(self.daemon)
        for server in self.servers:
            end(server)
        for path, server in self.mounts:
            subprocess.run(["fusermount3", "-u", path], stderr=subprocess.DEVNULL)
            end(server)
        listing = subprocess.run(["losetup", "--json", "--list"], capture_output=True, text=True).stdout
        for device in json.loads(listing or '{"loopdevices": []}')["loopdevices"]:
            if (device["back-file"] or "").startswith(self.folder + "/"):
                subprocess.run(["losetup", "--detach", device["name"]])
        shutil.rmtree(self.folder, ignore_errors=True)


def end(process):
    """Ends a process and what it started."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
