"""`python hdf5_storm.py FIRST COUNT`: reads as many damaged HDF5 files, and says how each ended.

libhdf5 may crash or hang on a damaged file, which no `except` sees. So each is read in a process of its own, which may
take so much time and memory and no more. Prints one JSON object: outcome -> the numbers of the files that ended so.
"""

from __future__ import annotations

import io
import json
import os
import random
import resource
import signal
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import hdf5_sources

from ocbench.datasets import oclib
from ocbench.errors import DataError
from ocbench.formats import hdf5

SOURCE = replace(oclib.CLEVR, side=16)
ROWS = 6
SECONDS, MEMORY = 20, 1 << 30  # bytes of address space more than at the start
LAYOUTS = (
    {},
    {"libver": "latest"},
    {"chunks": (2, 16, 16, 1), "compression": "gzip", "shuffle": True},
    {"chunks": (2, 16, 16, 1), "compression": "gzip", "libver": "latest"},
    {"chunks": (3, 16, 8, 1), "compression": "lzf", "fletcher32": True},
    {"chunks": (3, 16, 8, 1), "fletcher32": True, "maxshape": (None, None, None, None), "libver": "latest"},
)


def mutated(data: bytes, random: random.Random) -> bytes:
    """The file with a few bits, bytes, numbers or stretches of it changed, left out or moved, mostly in its headers."""
    changed, kind = bytearray(data), random.choice(("bit", "byte", "number", "copy", "cut", "end"))
    for _ in range(1 if kind in ("cut", "end") else random.choice((1, 1, 2, 4, 16))):
        at = random.randrange(min(len(data), random.choice((600, 5000, len(data)))))
        width = random.choice((2, 4, 8))
        if kind == "bit":
            changed[at] ^= 1 << random.randrange(8)
        elif kind == "byte":
            changed[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == "number":
            place = random.randrange(len(data)).to_bytes(8, "little")[:width]
            changed[at : at + width] = random.choice((b"\0" * width, b"\xff" * width, random.randbytes(width), place))
        elif kind == "copy":
            origin, width = random.randrange(len(data)), random.randrange(1, 64)
            changed[at : at + width] = data[origin : origin + width]
        else:
            del changed[at : at + random.randrange(1, 32) if kind == "cut" else None]
    return bytes(changed)


def read(data: bytes) -> str:
    """How reading everything in the file ends."""
    try:
        with hdf5.opened(io.BytesIO(data), "file") as tables:
            shapes = {"image": (16, 16, 3), "mask": (16, 16, 1), "num_actual_objects": (1,), "visibility": (11, 1)}
            for name, shape in shapes.items():
                for _ in tables.column(name, shape).read(0, ROWS):
                    pass
    except DataError:
        return "DataError"
    except BaseException as wrong:
        return repr(wrong)
    return "read"


def outcome(data: bytes) -> str:
    """The same, told from outside."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        os.write(sending, read(data).encode()[:1000])
        os._exit(0)
    os.close(sending)
    with open(receiving, "rb") as pipe:
        told = pipe.read().decode()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return told if code == 0 else signal.Signals(-code).name


def main(first: int, count: int) -> None:
    found = defaultdict(list)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "whole.hdf5"
        whole = [hdf5_sources.write(path, SOURCE, ROWS, **layout).read_bytes() for layout in LAYOUTS]
    assert [read(data) for data in whole] == ["read"] * len(whole)
    for number in range(first, first + count):
        chosen = random.Random(number)
        found[outcome(mutated(chosen.choice(whole), chosen))].append(number)
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
