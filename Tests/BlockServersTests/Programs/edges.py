"""A client at the edges of the protocol: what libnbd refuses to send by itself is sent with its checks off.

edges.py SOCKET: the export has 128 MiB. Prints nothing and ends with 0 where everything is as it should be.
"""
import errno
import os
import socket
import struct
import subprocess
import sys

import nbd

PATH = sys.argv[1]
URI = f"nbd+unix:///?socket={PATH}"
SIZE = 128 << 20


def connected(structured=True, context=True, strict=0):
    client = nbd.NBD()
    client.set_request_structured_replies(structured)
    if context:
        client.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
    client.connect_uri(URI)
    client.set_strict_mode(strict)
    return client


def refused(number, call, *arguments, **keywords):
    try:
        call(*arguments, **keywords)
    except nbd.Error as error:
        assert error.errnum == number, f"{call.__name__}{arguments[1:]}: {error.errnum} is not {number}"
        return
    raise AssertionError(f"{call.__name__}{arguments[1:]} was not refused")


def raw():
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(30)
    peer.connect(PATH)
    return peer


def exactly(peer, count):
    data = b""
    while len(data) < count:
        piece = peer.recv(count - len(data))
        assert piece, "the server hung up"
        data += piece
    return data


def hangs_up(peer):
    try:
        while peer.recv(65536):
            pass
    except ConnectionResetError:
        pass


def large_requests():
    client = connected()
    data = os.urandom(1 << 20) * 64
    client.pwrite(data, 4096)
    assert client.pread(64 << 20, 4096) == data
    assert client.pread_structured(64 << 20, 4096, lambda *_: 0, nbd.CMD_FLAG_DF) == data
    assert connected(structured=False, context=False).pread(64 << 20, 4096) == data


def rules():
    client = connected()
    refused(errno.EINVAL, client.pread, 4096, SIZE)
    refused(errno.EINVAL, client.pread, 4096, SIZE - 1)
    refused(errno.ENOSPC, client.pwrite, b"x" * 4096, SIZE - 512)
    refused(errno.ENOSPC, client.zero, 1 << 30, 0)
    refused(errno.EINVAL, client.trim, 1 << 30, 0)
    refused(errno.EINVAL, client.pwrite, b"x" * 100, 0)
    refused(errno.EINVAL, client.pwrite, b"x" * 4096, 0, nbd.CMD_FLAG_FAST_ZERO)
    assert client.pread(100, 50) is not None
    client.pwrite(b"y" * 4096, 8192, nbd.CMD_FLAG_FUA)
    client.zero(4096, 8192, nbd.CMD_FLAG_FUA | nbd.CMD_FLAG_NO_HOLE | nbd.CMD_FLAG_FAST_ZERO)
    client.trim(4096, 8192, nbd.CMD_FLAG_FUA)
    client.cache(4096, 8192)
    client.flush()
    assert client.pread(4096, 8192) == b"\0" * 4096
    refused(errno.EINVAL, connected(context=False).block_status, 4096, 0, lambda *_: 0)


def negotiation():
    client = nbd.NBD()
    client.set_opt_mode(True)
    client.connect_uri(URI)
    names = []
    client.opt_list(lambda name, description: names.append(name) or 0)
    assert names == ["disk"], names
    contexts = []
    client.opt_list_meta_context(lambda name: contexts.append(name) or 0)
    assert contexts == ["base:allocation"], contexts
    client.set_export_name("nothing")
    refused(errno.ENOENT, client.opt_info)
    client.set_export_name("disk")
    client.opt_info()
    assert client.get_size() == SIZE
    client.opt_go()
    assert client.pread(512, 0) is not None
    client.shutdown()
    other = nbd.NBD()
    other.set_opt_mode(True)
    other.connect_uri(URI)
    other.opt_abort()


def pipelined_options():
    peer = raw()
    assert exactly(peer, 18) == b"NBDMAGICIHAVEOPT\0\3"
    option = lambda number, data=b"": b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data
    name = struct.pack(">IH", 0, 0)
    request = struct.pack(">IHHQQI", 0x25609513, 0, 0, 77, 0, 512)
    # Everything at once, up to the first request.
    peer.sendall(struct.pack(">I", 3) + option(3) + option(4711, b"?" * 5000) + option(8) + option(7, name) + request)
    kinds = []
    while kinds[-2:] != [3, 1] or len(kinds) < 6:
        magic, number, kind, length = struct.unpack(">QIII", exactly(peer, 20))
        assert magic == 0x3E889045565A9
        exactly(peer, length)
        kinds.append(kind)
    assert kinds == [2, 1, 0x80000001, 1, 3, 1], kinds
    magic, flags, kind, cookie, length = struct.unpack(">IHHQI", exactly(peer, 20))
    assert (magic, flags, kind, cookie, length) == (0x668E33EF, 1, 1, 77, 520)
    exactly(peer, 520)
    # A request that is none.
    peer.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    hangs_up(peer)


def oldest_way():
    peer = raw()
    exactly(peer, 18)
    peer.sendall(struct.pack(">I", 0) + b"IHAVEOPT" + struct.pack(">II", 1, 4) + b"disk")
    size, flags = struct.unpack(">QH", exactly(peer, 10))
    assert size == SIZE and flags & 1 and exactly(peer, 124) == b"\0" * 124
    peer.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, 5, SIZE - 512, 512))
    assert struct.unpack(">IIQ", exactly(peer, 16)) == (0x67446698, 0, 5)
    exactly(peer, 512)
    peer.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 2, 6, 0, 0))
    hangs_up(peer)


def negotiated():
    peer = raw()
    exactly(peer, 18)
    peer.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 1, 0))
    exactly(peer, 10)
    return peer


def half_requests():
    header = struct.pack(">IHHQQI", 0x25609513, 0, 1, 9, 65536, 1 << 20)
    check = connected()
    check.pwrite(b"z" * 65536, 65536)
    for message in (header[:1], header[:27], header, header + b"q" * 1000, header + b"q" * 300000):
        peer = negotiated()
        peer.sendall(message)
        peer.close()
    # What did not come in full was not written.
    assert check.pread(65536, 65536) == b"z" * 65536


def killed_clients():
    program = "import nbd, os, signal\n" \
        "h = nbd.NBD(); h.connect_uri(%r)\n" \
        "for i in range(64): h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(1 << 20)), i << 20)\n" \
        "os.kill(os.getpid(), signal.SIGKILL)\n" % URI
    for _ in range(4):
        subprocess.run([sys.executable, "-c", program], check=False)
    assert connected().pread(512, 0) is not None


def deaf_clients():
    deaf = []
    for _ in range(3):
        peer = negotiated()
        request = b"".join(struct.pack(">IHHQQI", 0x25609513, 0, 0, i, i << 20, 1 << 20) for i in range(100))
        peer.sendall(request)
        deaf.append(peer)
    client = connected()
    for place in range(50):
        client.pwrite(bytes([place]) * 4096, place * 4096)
    for place in range(50):
        assert client.pread(4096, place * 4096) == bytes([place]) * 4096
    # Who begins to listen after all gets everything.
    got = 0
    while got < 100 * ((1 << 20) + 16):
        piece = deaf[0].recv(1 << 20)
        assert piece
        got += len(piece)


def finish(client, cookie):
    while not client.aio_command_completed(cookie):
        client.poll(-1)


def many_requests():
    client = connected()
    writes = []
    for place in range(500):
        data = nbd.Buffer.from_bytearray(bytearray([place % 251]) * 4096)
        writes.append(client.aio_pwrite(data, place * 4096))
    for cookie in writes:
        finish(client, cookie)
    buffers = [nbd.Buffer(4096) for place in range(500)]
    reads = [client.aio_pread(buffer, place * 4096) for place, buffer in enumerate(buffers)]
    for place, cookie in enumerate(reads):
        finish(client, cookie)
        assert bytes(buffers[place].to_bytearray()) == bytes([place % 251]) * 4096


for test in (large_requests, rules, negotiation, pipelined_options, oldest_way, half_requests, killed_clients,
             deaf_clients, many_requests):
    try:
        test()
    except Exception as error:
        sys.exit(f"{test.__name__}: {type(error).__name__}: {error}")
