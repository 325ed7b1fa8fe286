"""Shards that object-centric-learning-framework (OCLF) has made of a TFRecord file, as a source of its records.

    <folder>/train/shard-000000.tar …    <folder>/val/…    <folder>/test/…    or the shards in the folder itself

A member `<index>.<feature>.npy.gz` is one feature of a record, whose index is its place in the TFRecord file. Records
were dealt out to the folders at random, each of which holds them in the order of that file. OCLF's own splits are not
taken over: a protocol's ranges are of indices.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from ocbench import storage
from ocbench.errors import DataError
from ocbench.formats.archive import Aside, Member, members

LARGEST = 1 << 22  # bytes of a feature that are still believed, packed or not; the masks of CLEVR have 0.8 MB
FOLDERS = ("train", "val", "test")
_SHARD = re.compile(r"shard-\d{6,}\.tar", re.ASCII)
# NumPy's own reader takes the header for a Python expression, and runs into every error that the parser has.
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(\|u1|<f4)', 'fortran_order': False, 'shape': \(([\d, ]{,99})\), \} *\n",
    re.DOTALL,
)
_MEMBER = re.compile(r"(?:.*/)?(\d{1,9})\.(\w+)\.npy\.gz", re.ASCII)


@dataclass(frozen=True)
class Shards:
    """Where the shards lie, and which features of a record are wanted of them."""

    path: str  # the folder above them
    folders: Mapping[str, Sequence[str]]  # folder -> paths of its shards, in order
    features: Collection[str]

    def stop(self) -> int:
        """One above the highest index, for which all shards are read."""
        shards = (path for paths in self.folders.values() for path in paths)
        return 1 + max((index for path in shards for index, _, _ in _features(path)), default=-1)

    def aside(self) -> int:
        """Bytes that may have to wait for their turn: at worst all."""
        return sum(storage.size_of(path) for paths in self.folders.values() for path in paths)

    def examples(self, start: int, stop: int) -> Iterator[tuple[int, str, dict[str, np.ndarray]]]:
        """Index, what messages call it, and features of the records [start, stop) in order, from one pass.

        What comes before its turn waits on disk: little of what OCLF wrote, most of it where an index never comes,
        which is passed over at the end.
        """
        shards: dict[int, str] = {}  # of each record that was met
        following = start
        with Aside() as aside:

            def taken(index: int) -> tuple[int, str, dict[str, np.ndarray]]:
                waiting = ((name, aside.take((index, name))) for name in self.features)
                return _example(index, shards[index], {name: data for name, data in waiting if data is not None})

            for index, path, contents in self._dealt():
                if index in shards:
                    raise _twice(index, shards[index], path)
                shards[index] = path
                if index == following < stop:
                    yield _example(index, path, contents)
                    following += 1
                elif start <= index < stop:
                    for name, content in contents.items():
                        aside.put((index, name), content)
                while following < stop and following in shards:
                    yield taken(following)
                    following += 1
                if following >= stop:
                    return
            for index in sorted(index for index in shards if following <= index < stop):
                yield taken(index)

    def _dealt(self) -> Iterator[tuple[int, str, dict[str, bytes]]]:
        """Every record, always from the folder that has come least far: in order, where each folder is."""
        folders = [self._records(paths) for paths in self.folders.values()]
        reached = dict.fromkeys(range(len(folders)), -1)
        while reached:
            number = min(reached, key=reached.__getitem__)
            record = next(folders[number], None)
            if record is None:
                del reached[number]
            else:
                reached[number] = record[0]
                yield record

    def _records(self, paths: Sequence[str]) -> Iterator[tuple[int, str, dict[str, bytes]]]:
        """Index, shard and encoded features of each record, in the order of the shards."""
        for path in paths:
            for index, found in groupby(_features(path), key=lambda feature: feature[0]):
                wanted = ((name, member) for _, name, member in found if name in self.features)
                yield index, path, {name: _content(member, path) for name, member in wanted}


def shards(source: str, features: Collection[str]) -> Shards | None:
    """The shards in the folder or in its train, val and test; None where there are none."""
    folder = source.rstrip("/")
    here = storage.names(folder)
    lists = {folder: here} | {f"{folder}/{name}": storage.names(f"{folder}/{name}") for name in FOLDERS if name in here}
    paths = {where: [f"{where}/{name}" for name in names if _SHARD.fullmatch(name)] for where, names in lists.items()}
    found = {where: several for where, several in paths.items() if several}
    return Shards(source, found, features) if found else None


def _features(path: str) -> Iterator[tuple[int, str, Member]]:
    """Index, feature's name and member of each feature in a shard; other members are passed over."""
    with storage.open_binary(path) as file:
        for member in members(file, path):
            if match := _MEMBER.fullmatch(member.path):
                yield int(match[1]), match[2], member


def _content(member: Member, path: str) -> bytes:
    if member.size > LARGEST:
        expected, found = f"at most {LARGEST:,} bytes", f"{member.size:,}"
        raise DataError(f"'{member.path}' in '{path}' is too large", expected=expected, found=found)
    return member.read()


def _example(index: int, path: str, contents: Mapping[str, bytes]) -> tuple[int, str, dict[str, np.ndarray]]:
    where = f"record {index:,} in '{path}'"
    return index, where, {name: _array(content, f"'{name}' of {where}") for name, content in contents.items()}


def _array(data: bytes, what: str) -> np.ndarray:
    """uint8 or float32 [N] of a gzipped `.npy`, its shape left out; DataError for anything else."""
    inflater = zlib.decompressobj(wbits=31)
    try:
        content = inflater.decompress(data, LARGEST)
        if not inflater.eof:
            raise ValueError(f"no end of the GZIP stream within {len(content):,} bytes")
        header = _NPY.match(content)
        if header is None:
            raise ValueError(f"first bytes {content[:80]!r}")
        values = np.frombuffer(content, header[1].decode(), offset=header.end())
        expected = math.prod(int(length) for length in re.findall(rb"\d+", header[2]))
        if values.size != expected:
            raise ValueError(f"{values.size:,} values in the place of {expected:,}")
    except (ValueError, zlib.error) as wrong:
        form = "a gzipped .npy of uint8 or float32, as NumPy writes it"
        raise DataError(f"{what} cannot be read", expected=form, found=str(wrong)) from wrong
    return values


def _twice(index: int, first: str, second: str) -> DataError:
    return DataError(
        f"record {index:,} comes twice",
        found=f"in '{first}' and in '{second}'",
        hint="shards of an earlier conversion were left behind: remove those that are older than the rest",
    )
