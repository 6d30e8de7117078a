"""Persistent snapshot stores written by hand, as random writes would have left them: in the format of the kernel, which is a
header chunk, and areas of 16-byte exceptions (old chunk, new chunk) of one chunk each, before the chunks that they speak of."""

import array
import random
import struct
import sys

SECTOR = 512
ENTRY = 16


class Store:
    """`count` exceptions of chunks that lie at random among the first `chunks` of the origin, stored one behind the other."""

    def __init__(self, count, chunks, chunk_bytes, seed=1):
        self.chunk_bytes, self.per_area = chunk_bytes, chunk_bytes // ENTRY
        self.old = array.array("Q", random.Random(seed).sample(range(chunks), count))
        self.new = array.array("Q", map(self._place, range(count)))

    def _place(self, index):
        """Chunk 0 is the header; then come an area and the chunks of its exceptions, again and again."""
        return index + 2 + index // self.per_area

    @property
    def size(self):
        """Bytes that the store needs, with the empty area behind the last full one."""
        return (self._place(len(self.old)) + 1) * self.chunk_bytes

    def areas(self):
        """Position and content of every area, the last one with the end of the list."""
        for number in range(len(self.old) // self.per_area + 1):
            entries = slice(number * self.per_area, (number + 1) * self.per_area)
            area = array.array("Q", bytes(self.chunk_bytes))
            used = len(self.old[entries])
            area[0:2 * used:2], area[1:2 * used:2] = self.old[entries], self.new[entries]
            if sys.byteorder == "big":
                area.byteswap()
            yield (1 + number * (self.per_area + 1)) * self.chunk_bytes, area.tobytes()

    def write(self, path):
        """Writes header and areas into an image, and leaves the chunks alone."""
        with open(path, "r+b") as file:
            header = struct.pack("<4sIII", b"SnAp", 1, 1, self.chunk_bytes // SECTOR)
            file.write(header.ljust(self.chunk_bytes, b"\0"))
            for position, content in self.areas():
                file.seek(position)
                file.write(content)


def forget(path):
    """Makes a store new: a header of zeroes."""
    with open(path, "r+b") as file:
        file.write(bytes(4096))
