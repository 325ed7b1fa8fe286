"""TFRecord files and the small part of `tf.train.Example` that scenes are stored in, without TensorFlow.

A file is a sequence of frames (length, CRC of the length, payload, CRC of the payload), as a whole in one GZIP stream
of one or several members, or bare. Both CRCs are always checked. Of an Example, lists of bytes and of floats are read;
everything else is passed over. In the files that this is for, every pixel is a string of one byte of its own,
`0A 01 xx` on the wire: no Python object is ever made for one.
"""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Iterator
from typing import IO, Any

import google_crc32c
import numpy as np
from zlib_ng import gzip_ng, zlib_ng

from ocbench.errors import DataError

LARGEST = 1 << 26  # bytes of a record that are still believed; those of CLEVR have 3.2 MB
PIECE = 1 << 22  # bytes asked for at once: what a false length can make us allocate
MOST_STRINGS = 1 << 20  # values of a list that is read one by one
HEADER = 12  # bytes: a length and its CRC
MASK_DELTA = 0xA282EAD8
DAMAGE: Any = (zlib_ng.error, gzip.BadGzipFile)  # what a broken GZIP stream raises
DOWNLOAD_AGAIN = "download it again, or resume the download, and compare its size with the server's"


def masked_crc(data: bytes) -> int:
    """CRC-32C of the data, rotated and shifted as TFRecord stores it."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF


def records(file: IO[bytes], name: str) -> Iterator[bytes]:
    """The payloads in order, from a binary stream read once from its start; `name` is what messages call it.

    DataError for what is no TFRecord file, ends early or is damaged, with the number of whole records before.
    """
    stream, count = _Stream(file, name), 0
    while header := stream.take(HEADER, count):
        length, checksum = struct.unpack("<QI", header)
        if masked_crc(header[:8]) != checksum or length > LARGEST:
            raise stream.damage("has a damaged length of a record", count)
        payload, checksum = stream.take(length, count), stream.take(4, count)
        if len(payload) < length or not checksum:
            raise stream.damage("ends early", count)
        if masked_crc(payload) != int.from_bytes(checksum, "little"):
            raise stream.damage("has a record whose checksum is wrong", count)
        yield payload
        count += 1


class _Stream:
    """Exact reads from the frames inside a file, which know how far they have come."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._name, self._position = name, 0
        try:
            start = file.read(HEADER)
        except OSError as wrong:
            raise DataError(f"cannot read '{name}'", found=str(wrong)) from wrong
        joined: Any = _Joined(start, file)
        if start[:2] == b"\x1f\x8b":
            self._file: Any = gzip_ng.GzipNGFile(fileobj=joined, mode="rb")
        elif len(start) == HEADER and masked_crc(start[:8]) == int.from_bytes(start[8:], "little"):
            self._file = joined
        else:
            raise _no_tfrecord(name, start)

    def damage(self, what: str, records: int) -> DataError:
        found = f"{records:,} whole records before, at byte {self._position:,} of the records"
        return DataError(f"'{self._name}' {what}", found=found, hint=DOWNLOAD_AGAIN)

    def take(self, size: int, records: int) -> bytes:
        """Exactly `size` bytes, or none at the end of the file; DataError where it ends in between."""
        data = self._read(min(size, PIECE), records)
        while 0 < len(data) < size:
            piece = self._read(min(size - len(data), PIECE), records)
            if not piece:
                raise self.damage("ends early", records)
            data += piece
        return data

    def _read(self, size: int, records: int) -> bytes:
        try:
            data = self._file.read(size)
        except EOFError as wrong:
            raise self.damage("ends early", records) from wrong
        except DAMAGE as wrong:
            raise self.damage(f"is damaged: {wrong}", records) from wrong
        except OSError as wrong:
            raise self.damage(f"cannot be read: {wrong}", records) from wrong
        self._position += len(data)
        return data


class _Joined(io.RawIOBase):
    """`start` and then the rest of `file`, for streams that cannot go back."""

    def __init__(self, start: bytes, file: IO[bytes]) -> None:
        self._start, self._file = start, file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._start[: len(buffer)] or self._file.read(len(buffer))
        self._start = self._start[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def _no_tfrecord(name: str, start: bytes) -> DataError:
    if start.lstrip()[:1] == b"<":
        hint = "the download ended on an error page: download it again"
    elif not start:
        hint = DOWNLOAD_AGAIN
    else:
        hint = "is this the right file, and was it changed on the way? download it again"
    return DataError(
        f"'{name}' is no TFRecord file",
        expected="a GZIP stream (1f 8b …), or bare records",
        found=f"first bytes {start.hex(' ')} ({start!r})" if start else "an empty file",
        hint=hint,
    )


def example(payload: bytes, name: str) -> dict[str, np.ndarray]:
    """The features of a serialised Example: uint8 [N] of a list of bytes, float32 [N] of a list of floats.

    The strings of a list of bytes are joined. `name` is what messages call the record; DataError where it is damaged.
    """
    found: dict[str, np.ndarray] = {}
    try:
        for features in _contents(payload, (0, len(payload)), 1):
            for entry in _contents(payload, features, 1):
                (start, stop) = next(_contents(payload, entry, 1))
                feature = next(_contents(payload, entry, 2), (0, 0))
                array = _values(payload, feature)
                if array is not None:
                    found[payload[start:stop].decode()] = array
    except (ValueError, IndexError, StopIteration) as wrong:
        raise DataError(f"{name} is no tf.train.Example", found=str(wrong) or type(wrong).__name__) from wrong
    return found


Span = tuple[int, int]  # first byte and the one behind the last


def _values(data: bytes, feature: Span) -> np.ndarray | None:
    for span in _contents(data, feature, 1):
        return _bytes(data, span)
    for span in _contents(data, feature, 2):
        return _floats(data, span)
    return None


def _bytes(data: bytes, span: Span) -> np.ndarray:
    start, stop = span
    if stop > start and (stop - start) % 3 == 0:
        tags = np.ndarray(((stop - start) // 3,), "<u2", data, start, (3,))  # a view of each pair 0A 01
        if (tags == 0x010A).all():
            return np.frombuffer(data, np.uint8, stop - start, start)[2::3]
    pieces = []
    for begin, end in _contents(data, span, 1):
        pieces.append(data[begin:end])
        if len(pieces) > MOST_STRINGS:
            raise ValueError(f"a list of more than {MOST_STRINGS:,} strings of several lengths")
    return np.frombuffer(b"".join(pieces), np.uint8)


def _floats(data: bytes, span: Span) -> np.ndarray:
    pieces = []
    for number, wire, begin, end in _fields(data, span):
        if number == 1 and wire in (2, 5):  # packed, or one by one
            if (end - begin) % 4:
                raise ValueError(f"a list of floats of {end - begin} bytes")
            pieces.append(data[begin:end])
        if len(pieces) > MOST_STRINGS:
            raise ValueError(f"a list of more than {MOST_STRINGS:,} floats one by one")
    return np.frombuffer(b"".join(pieces), "<f4")


def _contents(data: bytes, span: Span, wanted: int) -> Iterator[Span]:
    """Where the contents of the length-delimited fields of this number lie."""
    return ((start, stop) for number, wire, start, stop in _fields(data, span) if (number, wire) == (wanted, 2))


def _fields(data: bytes, span: Span) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type and span of each field of a message; ValueError where the wire format is broken."""
    at, end = span
    while at < end:
        key, at = _varint(data, at, end)
        number, wire = key >> 3, key & 7
        start = at
        if wire == 0:
            _, at = _varint(data, at, end)
        elif wire == 2:
            length, start = _varint(data, at, end)
            at = start + length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {start}")
        if at > end or not number:
            raise ValueError(f"a field that reaches beyond its message, at byte {start}")
        yield number, wire, start, at


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError(f"a broken number at byte {at}")
