"""Rows of the datasets at the root of an HDF5 file, in order and in bounded memory, whatever the file says of itself.

libhdf5 believes a file. So it is asked where the numbers lie, and no more: they are fetched and decoded here, once they
are known to be harmless: plain, of the expected shape, in this file alone (no links, external storage, virtual
datasets), in chunks of a bearable size with known filters. What it makes of damaged headers is beyond our reach.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, product
from typing import IO

import h5py
import numpy as np

from ocbench.errors import DataError, OcbenchError
from ocbench.formats.hdf5_filters import FILTERS, undone

BLOCK = 32 << 20  # bytes of a dataset that are read at once
LARGEST_CHUNK = 64 << 20  # bytes
MOST_PIECES = 4096  # chunks that one row may lie in
MOST_REPEATS = 64  # how often a chunk of many rows may be decoded, each time for a block of fewer
PLAIN = "plain datasets in this one file"
DOWNLOAD_AGAIN = "download it again, and compare its SHA-256 with the published one"
REPACK = "write it anew with `h5repack -l NAME:CHUNK=1x… -f NAME:GZIP=4`"
SHOWN = 8  # names in a message


@dataclass(frozen=True)
class Column:
    """One dataset; its rows lie along its first axis."""

    where: str  # what messages call it
    rows: int
    _dataset: h5py.Dataset
    _file: IO[bytes]
    _step: int  # rows that are read at once
    _filters: tuple[int, ...]

    def read(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """The rows of [start, stop) one by one, in the dtype that they are stored in; those behind the last: none."""
        stop = min(stop, self.rows)
        while start < stop:
            after = min(stop, (start // self._step + 1) * self._step)  # blocks end where chunks do
            with _guarded(f"rows {start:,} to {after - 1:,} of {self.where}"):
                block = self._stretch(start, after) if self._dataset.chunks is None else self._joined(start, after)
            yield from block
            start = after

    def _stretch(self, start: int, stop: int) -> np.ndarray:
        """The rows of [start, stop) of a dataset in one piece."""
        shape, dtype = (stop - start, *self._dataset.shape[1:]), self._dataset.dtype
        row = math.prod(shape[1:]) * dtype.itemsize
        content = self._fetched(self._dataset.id.get_offset() + start * row, shape[0] * row)
        return np.frombuffer(content, dtype).reshape(shape)

    def _joined(self, start: int, stop: int) -> np.ndarray:
        """The rows of [start, stop) from all chunks that they lie in."""
        shape, chunk = self._dataset.shape, self._dataset.chunks
        block = np.empty((stop - start, *shape[1:]), self._dataset.dtype)
        first = range(start // chunk[0] * chunk[0], stop, chunk[0])
        rest = (range(0, extent, side) for extent, side in zip(shape[1:], chunk[1:], strict=True))
        for corner in product(first, *rest):
            low, high = max(corner[0], start), min(corner[0] + chunk[0], stop)
            others = (slice(at, at + side) for at, side in zip(corner[1:], chunk[1:], strict=True))
            target = block[(slice(low - start, high - start), *others)]  # chunks may reach over the edge
            piece = self._chunk(corner)[low - corner[0] : high - corner[0]]
            target[:] = piece[(slice(None), *map(slice, target.shape[1:]))]
        return block

    def _chunk(self, corner: tuple[int, ...]) -> np.ndarray:
        chunk, dtype = self._dataset.chunks, self._dataset.dtype
        size = math.prod(chunk) * dtype.itemsize
        info = self._dataset.id.get_chunk_info_by_coord(corner)
        where = f"the chunk at {list(corner)} of {self.where}"
        if info.byte_offset is None:
            raise DataError(f"{where} was never written", hint=DOWNLOAD_AGAIN)
        if info.size > size + size // 8 + 64:  # more than any filter adds
            found = f"{info.size:,} bytes for {size:,}"
            raise DataError(f"{where} is damaged", found=found, hint=DOWNLOAD_AGAIN)
        stored = self._fetched(info.byte_offset, info.size)
        try:
            content = undone(stored, self._filters, info.filter_mask, size, dtype.itemsize)
        except ValueError as wrong:
            found = f"{wrong}, in the {info.size:,} from byte {info.byte_offset:,} on"
            raise DataError(f"{where} is damaged", found=found, hint=DOWNLOAD_AGAIN) from wrong
        return np.frombuffer(content, dtype).reshape(chunk)

    def _fetched(self, place: int, size: int) -> bytes:
        self._file.seek(place)
        content = self._file.read(size)
        if len(content) < size:
            expected, found = f"{size:,} bytes from byte {place:,} on", f"{len(content):,}"
            raise DataError(f"{self.where} ends early", expected=expected, found=found, hint=DOWNLOAD_AGAIN)
        return content


class Tables:
    """The datasets at the root of one file."""

    def __init__(self, root: h5py.File, file: IO[bytes], name: str) -> None:
        self._root, self._file, self._name = root, file, name

    def __contains__(self, name: str) -> bool:
        with _guarded(f"'{self._name}'"):
            return bool(self._root.id.links.exists(name.encode()))

    def column(self, name: str, *tails: Sequence[int]) -> Column:
        """The dataset of that name, with rows of one of these shapes; DataError where it is not so or not harmless."""
        where = f"dataset '{name}' of '{self._name}'"
        if name not in self:
            raise DataError(
                f"'{self._name}' lacks dataset '{name}'", expected=f"'{name}' at the root", found=self._names()
            )
        with _guarded(where):
            dataset = self._opened(name, where)
            _refuse_other_rows(dataset, tails, where)
            step, filters = _layout(dataset, where)
        return Column(where, dataset.shape[0], dataset, self._file, step, filters)

    def _opened(self, name: str, where: str) -> h5py.Dataset:
        """The dataset, once it is known that opening it and asking for its shape opens no other file."""
        link = self._root.id.links.get_info(name.encode()).type
        if link != h5py.h5l.TYPE_HARD:
            raise DataError(f"{where} is a link to another place", expected=PLAIN)
        found = h5py.h5o.open(self._root.id, name.encode())
        if not isinstance(found, h5py.h5d.DatasetID):
            raise DataError(f"'{name}' of '{self._name}' is no dataset", expected="datasets at the root, no groups")
        storage = found.get_create_plist()
        if storage.get_layout() == h5py.h5d.VIRTUAL or storage.get_external_count():
            raise DataError(f"{where} lies in other files", expected=PLAIN)
        return h5py.Dataset(found)

    def _names(self) -> str:
        with _guarded(f"'{self._name}'"):
            names = [str(name) for name in islice(self._root, SHOWN)]
        return ", ".join(f"'{name}'" for name in names) or "nothing"


@contextmanager
def opened(file: IO[bytes], name: str) -> Iterator[Tables]:
    """The datasets of a seekable binary file, which messages call `name`; DataError where it is no whole HDF5 file."""
    file.seek(0)
    start = file.read(16)
    if start.lstrip()[:1] == b"<":
        raise DataError(
            f"'{name}' is a web page, not an HDF5 file", found=repr(start.decode("latin-1")),
            hint="the download ended on an error page: download it again",
        )  # fmt: skip
    if start[:8] != b"\x89HDF\r\n\x1a\n":
        found = f"first bytes {start[:8].hex(' ')}" if start else "an empty file"
        raise DataError(f"'{name}' is not an HDF5 file", found=found, hint=DOWNLOAD_AGAIN)
    with _guarded(f"'{name}'"):
        root = h5py.File(file, "r")
    try:
        yield Tables(root, file, name)
    finally:
        with _guarded(f"'{name}'"):
            root.close()


@contextmanager
def _guarded(what: str) -> Iterator[None]:
    """Around calls of h5py: what libhdf5 refuses comes as any kind of exception, by the place where it gave up."""
    try:
        yield
    except OcbenchError:
        raise
    except Exception as wrong:
        raise DataError(f"cannot read {what}", found=str(wrong) or type(wrong).__name__, hint=DOWNLOAD_AGAIN) from wrong


def _refuse_other_rows(dataset: h5py.Dataset, tails: Sequence[Sequence[int]], where: str) -> None:
    if dataset.shape is None or list(dataset.shape[1:]) not in [list(tail) for tail in tails]:
        raise DataError(
            f"{where} has a wrong shape",
            expected=" or ".join(f"[N, {', '.join(map(str, tail))}]" for tail in tails),
            found="no shape" if dataset.shape is None else str(list(dataset.shape)),
        )
    plain = dataset.dtype.kind in "buif" and dataset.dtype.itemsize <= 8
    if not plain or not h5py.h5t.py_create(dataset.dtype).equal(dataset.id.get_type()):  # odd bits in usual bytes
        raise DataError(f"{where} does not hold plain numbers", expected="integers or floats", found=str(dataset.dtype))


def _layout(dataset: h5py.Dataset, where: str) -> tuple[int, tuple[int, ...]]:
    """Rows to read at once, and the filters of their chunks; DataError for storage that cannot be borne."""
    storage = dataset.id.get_create_plist()
    row = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    step = max(1, BLOCK // row)
    if storage.get_layout() == h5py.h5d.CONTIGUOUS:
        if dataset.shape[0] and dataset.id.get_offset() is None:
            raise DataError(f"{where} was never written", hint=DOWNLOAD_AGAIN)
        return step, ()
    if storage.get_layout() != h5py.h5d.CHUNKED:
        raise DataError(f"{where} has a storage that is not read", expected="contiguous or in chunks", hint=REPACK)
    chunk = storage.get_chunk()
    pieces = math.prod(-(-extent // side) for extent, side in zip(dataset.shape[1:], chunk[1:], strict=True))
    huge = math.prod(chunk) * dataset.dtype.itemsize > LARGEST_CHUNK
    if huge or pieces > MOST_PIECES or chunk[0] > MOST_REPEATS * step:
        what = "too large" if huge else "too small" if pieces > MOST_PIECES else "across too many rows"
        found = "x".join(map(str, chunk))
        raise DataError(f"{where} has chunks {what}", expected="a few rows a chunk", found=found, hint=REPACK)
    filters = [storage.get_filter(number) for number in range(storage.get_nfilters())]
    if any(code not in FILTERS for code, *_ in filters):
        found = ", ".join(f"{name.decode('latin-1')} ({code})" for code, _, _, name in filters)
        expected = "none, gzip or lzf, with or without shuffle and fletcher32"
        raise DataError(f"{where} has filters that are not read", expected=expected, found=found, hint=REPACK)
    return max(step // chunk[0] * chunk[0], min(step, chunk[0])), tuple(code for code, *_ in filters)
