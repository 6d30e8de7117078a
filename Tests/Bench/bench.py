"""Measures ucopyd beside other programs on this machine, in one go.

A row is a piece of work and a bar. All programs of a row take turns, round after round, so that what else the machine does
hits all alike; each program's result is the median over the rounds, and the row's ratio is ours over the best of the others.
What a row leaves behind is compared with what it should be after the first round, off the clock.
"""

import argparse
import os
import platform
import re
import signal
import sys

from copies import CopyRows
from rig import Failed, Rig, output_of
from table import Row, write_json
from targets import TargetRows

PARTS = {"copy": CopyRows, "targets": TargetRows}


def versions():
    def first_line(*command):
        try:
            return re.sub(r"\s+", " ", output_of(*command).splitlines()[0])
        except (Failed, OSError, IndexError):
            return None

    return {
        "kernel": platform.release(), "processors": os.cpu_count(), "dd": first_line("dd", "--version"),
        "qemu-img": first_line("qemu-img", "--version"), "nbdcopy": first_line("nbdcopy", "--version"),
        "fio": first_line("fio", "--version"), "qemu-storage-daemon": first_line("qemu-storage-daemon", "--version"),
    }


def chosen(only):
    """The parts that have something to do, each with the names of its rows that were asked for."""
    for name, part in PARTS.items():
        rows = [row for row in part.works if only is None or name in only or row in only]
        if rows:
            yield part, rows


def main():
    parser = argparse.ArgumentParser(description="Measures ucopyd beside other programs.")
    parser.add_argument("--programs", default=".build/release", help="folder of ucopyd, ucopyctl and libkcopyd.so")
    parser.add_argument("--json", default=".build/bench.json", help="where all results go")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that the medians are taken over")
    parser.add_argument("--quick", action="store_true", help="an eighth of the data: shows that it works, not how fast")
    names = [*PARTS, *(name for part in PARTS.values() for name in part.works)]
    parser.add_argument("--only", action="append", choices=names, metavar="ROW",
                        help=f"only this row, or all rows of a part; may be repeated: {', '.join(names)}")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: at least 1")

    def interrupted(number, _):
        raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)

    rig = Rig(options.programs)
    try:
        parts = [part(rig, options, wanted) for part, wanted in chosen(options.only)]
        rig.make_folder(max(part.need(options.quick) for part in parts))
        if not rig.in_memory:
            print("bench: no room in /dev/shm: the images are on a disk, and the disk is what is measured")
        rig.start_daemon()
        for part in parts:
            part.run()
        rows = [row for part in parts for row in part.rows]
        Row.print_head()
        for row in rows:
            row.print()
        sizes = {name: part.size for part in parts for name, kind in PARTS.items() if isinstance(part, kind)}
        write_json(options.json, rows, bytes=sizes, quick=options.quick, inMemory=rig.in_memory, machine=versions())
        return 0 if options.quick or all(row.passed for row in rows) else 1
    except (Failed, OSError) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 2
    finally:
        rig.close()


sys.exit(main())
