"""What the filters of HDF5 did to a chunk, undone: to exactly the bytes that it must have, or ValueError.

libhdf5 takes a chunk that inflates to too few bytes for whole and hands out whatever lies behind them in memory, lets
one that inflates to too many take all memory, and crashes on one too short for its checksum.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

CHECKSUM = 4  # bytes


def undone(stored: bytes, filters: Sequence[int], skipped: int, size: int, itemsize: int) -> bytes:
    """The `size` bytes of a chunk of items of `itemsize` bytes; bit n of `skipped`: filter n was not applied."""
    limit = size + CHECKSUM * len(filters)
    for place in reversed(range(len(filters))):
        if not skipped >> place & 1:
            stored = FILTERS[filters[place]](stored, limit, itemsize)
    if len(stored) != size:
        raise ValueError(f"{len(stored):,} bytes in place of {size:,}")
    return stored


def _inflated(data: bytes, limit: int, itemsize: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(data, limit)
    except zlib.error as wrong:
        raise ValueError(f"gzip: {wrong}") from wrong
    if not stream.eof:
        raise ValueError(f"gzip: no end after {len(found):,} bytes")
    return found


def _unshuffled(data: bytes, limit: int, itemsize: int) -> bytes:
    """The first bytes of all items lie first, then their second bytes and so on; a rest stays as it is."""
    whole = len(data) // itemsize * itemsize
    return np.frombuffer(data[:whole], np.uint8).reshape(itemsize, -1).T.tobytes() + data[whole:]


def _checked(data: bytes, limit: int, itemsize: int) -> bytes:
    """Without its Fletcher checksum: sums of big-endian 16-bit words, modulo 65535 with 65535 for 0."""
    content, checksum = data[:-CHECKSUM], data[-CHECKSUM:]
    words = np.frombuffer(content + b"\0" * (len(content) % 2), ">u2").astype(np.int64)
    weights = np.arange(len(words), 0, -1) % 65535
    sums = [(total - 1) % 65535 + 1 if total else 0 for total in (int(words.sum()), int((words * weights).sum()))]
    if int.from_bytes(checksum, "little") != sums[1] << 16 | sums[0]:
        raise ValueError("a wrong checksum")
    return content


def _expanded(data: bytes, limit: int, itemsize: int) -> bytes:
    """LZF: runs of up to 32 literal bytes, and references up to 8,192 bytes back of up to 264 bytes."""
    out, at, end = bytearray(), 0, len(data)
    data += b"\0\0"  # so that what is cut short can be read on to the check at the end
    while at < end and len(out) <= limit:
        control = data[at]
        if control < 32:
            out += data[at + 1 : at + control + 2]
            at += control + 2
            continue
        length, at = (control >> 5) + 2, at + 1
        if length == 9:
            length, at = length + data[at], at + 1
        back, at = (control & 31) << 8 | data[at], at + 1
        start = len(out) - back - 1
        if start < 0:
            raise ValueError("lzf: a reference to before the start")
        pattern = out[start : start + length]
        out += pattern if len(pattern) == length else (pattern * length)[:length]  # it may overlap what it makes
    if at != end:
        raise ValueError(f"lzf: no end after {len(out):,} bytes")
    return bytes(out)


FILTERS: Mapping[int, Callable[[bytes, int, int], bytes]] = MappingProxyType(
    {1: _inflated, 2: _unshuffled, 3: _checked, 32000: _expanded}
)  # by the numbers that HDF5 knows them by
