"""Both sides of an NBD socket: qemu-storage-daemon, which serves what ours is measured beside, and the clients."""

import contextlib
import hashlib
import json
import os
import subprocess
import time

from rig import Failed, end


@contextlib.contextmanager
def storage_daemon(rig, name, nodes, export):
    """A qemu-storage-daemon that exports the node `export` of its block nodes: the path of its socket."""
    path = rig.path(f"{name}.sock")
    command = ["qemu-storage-daemon", "--nbd-server", f"addr.type=unix,addr.path={path}"]
    for node in nodes:
        command += ["--blockdev", node]
    command += ["--export", f"nbd,id=export,node-name={export},name=,writable=on"]
    log = rig.path(f"{name}.log")
    with open(log, "wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
    rig.servers.append(server)
    try:
        for _ in range(100):
            if os.path.exists(path):
                break
            if server.poll() is not None:
                with open(log) as file:
                    raise Failed(f"qemu-storage-daemon did not start: {file.read().strip()}")
            time.sleep(0.05)
        else:
            raise Failed("qemu-storage-daemon did not listen")
        yield path
    finally:
        end(server)
        rig.servers.remove(server)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def file_node(name, path, aio):
    """A plain image file. Its pages are in memory either way: direct I/O would only take a path through them from qemu."""
    return f"driver=file,node-name={name},filename={path},aio={aio},locking=off"


def fio_rate(rig, socket, kind, block, count, size):
    """What fio reaches with `count` requests of `block` bytes, 32 at a time, each somewhere else: requests per second."""
    output = rig.path("fio.json")
    rig.run("fio", "--name=bench", "--ioengine=nbd", f"--uri=nbd+unix:///?socket={socket}", f"--rw={kind}", f"--bs={block}",
            "--iodepth=32", f"--size={size}", f"--number_ios={count}", "--norandommap=0", "--randrepeat=0",
            "--output-format=json", f"--output={output}")
    with open(output) as file:
        text = file.read()
    side = json.loads(text[text.index("{"):])["jobs"][0]["read" if kind == "randread" else "write"]
    if side["total_ios"] < count:
        raise Failed(f"fio did {side['total_ios']} of {count} {kind} requests")
    return side["iops"]


def digest_of_file(path, size):
    """What is in the first `size` bytes of an image, as a number that one can compare."""
    digest = hashlib.blake2b()
    with open(path, "rb") as file:
        for offset in range(0, size, 1 << 20):
            digest.update(file.read(min(1 << 20, size - offset)))
    return digest.hexdigest()


def digest_of_export(socket):
    """The same for what a server exports."""
    digest = hashlib.blake2b()
    with subprocess.Popen(["nbdcopy", f"nbd+unix:///?socket={socket}", "-"], stdout=subprocess.PIPE) as client:
        while data := client.stdout.read(1 << 20):
            digest.update(data)
    if client.returncode != 0:
        raise Failed(f"nbdcopy: {socket}: status {client.returncode}")
    return digest.hexdigest()
