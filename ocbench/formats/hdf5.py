"""Rows of the datasets at the root of an HDF5 file, in order and in bounded memory, whatever the file says of itself.

libhdf5 believes a file. So nothing is read before it is known to be harmless: plain numbers of the expected shape, no
bytes that lie in other files (links, external storage, virtual datasets), known compression, and chunks that neither
are huge nor inflate without end. What libhdf5 makes of a damaged header before that is beyond our reach.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, product
from typing import IO, Any

import h5py
import numpy as np

from ocbench.errors import DataError, OcbenchError

BLOCK = 32 << 20  # bytes of a dataset that are read at once
MOST_PIECES = 4096  # chunks that are touched at once: libhdf5 keeps a record of each
MOST_REPEATS = 64  # how often a chunk of many rows may be inflated again for a block of fewer
LARGEST_CHUNK = 64 << 20  # bytes
LARGEST_INFLATED = 256 << 20  # bytes that a chunk may take while libhdf5 inflates it
EXPANSION = {  # known filters: how many bytes one byte can become
    h5py.h5z.FILTER_SHUFFLE: 1,
    h5py.h5z.FILTER_FLETCHER32: 1,
    h5py.h5z.FILTER_LZF: 90,
    h5py.h5z.FILTER_DEFLATE: 1032,
}
COMPRESSORS = {h5py.h5z.FILTER_LZF, h5py.h5z.FILTER_DEFLATE}
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
    _step: int  # rows that are read at once
    _expansion: int  # how many bytes one stored byte can become
    _size: int  # bytes of the file

    def read(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """The rows of [start, stop) one by one, in the dtype that they are stored in; those behind the last: none."""
        stop = min(stop, self.rows)
        while start < stop:
            after = min(stop, (start // self._step + 1) * self._step)  # blocks end where chunks do
            with _guarded(f"rows {start:,} to {after - 1:,} of {self.where}"):
                self._refuse_bad_chunks(start, after)
                block = self._dataset[start:after]
            yield from block
            start = after

    def _refuse_bad_chunks(self, start: int, stop: int) -> None:
        """Chunks that were never written, lie outside the file, or inflate to more than they may."""
        chunk = self._dataset.chunks
        if chunk is None:
            return
        size = math.prod(chunk) * self._dataset.dtype.itemsize
        first = range(start // chunk[0] * chunk[0], stop, chunk[0])
        rest = (range(0, extent, side) for extent, side in zip(self._dataset.shape[1:], chunk[1:], strict=True))
        for corner in product(first, *rest):
            info = self._dataset.id.get_chunk_info_by_coord(corner)
            where = f"the chunk at {list(corner)} of {self.where}"
            if info.byte_offset is None:
                raise DataError(f"{where} was never written", hint=DOWNLOAD_AGAIN)
            if info.size > 2 * size + 4096 or info.byte_offset + info.size > self._size:
                found = f"{info.size:,} at byte {info.byte_offset:,}"
                raise DataError(f"{where} is damaged", expected=f"{size:,} bytes or less", found=found)
            if info.size * self._expansion > LARGEST_INFLATED and not self._inflates(corner, size):
                raise DataError(f"{where} inflates too far", expected=f"{size:,} bytes", hint=DOWNLOAD_AGAIN)

    def _inflates(self, corner: tuple[int, ...], size: int) -> bool:
        """Whether a chunk that could grow too large is a deflate stream of no more than its `size`."""
        _, stored = self._dataset.id.read_direct_chunk(corner)
        return len(zlib.decompressobj().decompress(stored, size + 1)) <= size


class Tables:
    """The datasets at the root of one file."""

    def __init__(self, root: h5py.File, name: str, size: int) -> None:
        self._root, self._name, self._size = root, name, size

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
            step, expansion = _layout(dataset, where, self._size)
        return Column(where, dataset.shape[0], dataset, step, expansion, self._size)

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
        size = file.seek(0, 2)
        root = h5py.File(file, "r")
    try:
        yield Tables(root, name, size)
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
    if dataset.dtype.kind not in "buif" or dataset.dtype.itemsize > 8:
        raise DataError(f"{where} does not hold plain numbers", expected="integers or floats", found=str(dataset.dtype))


def _layout(dataset: h5py.Dataset, where: str, size: int) -> tuple[int, int]:
    """Rows to read at once, and how many bytes a stored byte can become; DataError for storage that cannot be borne."""
    storage = dataset.id.get_create_plist()
    row = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    if storage.get_layout() == h5py.h5d.CONTIGUOUS:
        place = dataset.id.get_offset()
        if place is None or place + dataset.shape[0] * row > size:
            end = "nowhere" if place is None else f"from byte {place:,}"
            found = f"{end} of {size:,}"
            raise DataError(f"{where} is not in the file", expected=f"{dataset.shape[0] * row:,} bytes", found=found)
        return max(1, BLOCK // row), 1
    if storage.get_layout() != h5py.h5d.CHUNKED:
        raise DataError(f"{where} has a storage that is not read", expected="contiguous or in chunks")
    chunk = storage.get_chunk()
    full = math.prod(chunk) * dataset.dtype.itemsize
    if full > LARGEST_CHUNK:
        expected = f"chunks of {LARGEST_CHUNK:,} bytes or less"
        raise DataError(f"{where} has huge chunks", expected=expected, found=f"{full:,} bytes", hint=REPACK)
    pieces = math.prod(-(-extent // side) for extent, side in zip(dataset.shape[1:], chunk[1:], strict=True))
    step = max(1, min(BLOCK // row, MOST_PIECES // pieces * chunk[0]))
    if chunk[0] > MOST_REPEATS * step:
        found = f"chunks of {'x'.join(map(str, chunk))}"
        raise DataError(f"{where} has chunks across too many rows", found=found, hint=REPACK)
    return max(step // chunk[0] * chunk[0], min(step, chunk[0])), _expansion(storage, full, where)


def _expansion(storage: Any, size: int, where: str) -> int:
    """How many bytes a stored byte can become in the filters of chunks of `size` bytes; DataError for unknown ones."""
    filters = [storage.get_filter(number) for number in range(storage.get_nfilters())]
    codes = [code for code, *_ in filters]
    believed = all(max(values[2:], default=0) <= size for code, _, values, _ in filters if code == h5py.h5z.FILTER_LZF)
    if (
        set(codes) - set(EXPANSION)
        or len(COMPRESSORS.intersection(codes)) > 1
        or len(set(codes)) < len(codes)
        or not believed
    ):
        found = ", ".join(f"{name.decode('latin-1')} ({code})" for code, _, _, name in filters)
        raise DataError(f"{where} has a compression that is not read", expected="gzip or lzf", found=found, hint=REPACK)
    return max((EXPANSION[code] for code in codes), default=1)
