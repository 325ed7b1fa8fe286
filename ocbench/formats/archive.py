"""Members of a tar or tar.gz archive, one after the other, from any stream, in constant memory.

Nothing is ever unpacked to a path that the archive names. Unlike the standard library's reader, which takes a damaged
header for the end and remembers every member, this one insists on the end-of-archive marker, goes on behind it (some
join archives with `cat`), and forgets what it has passed.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import tempfile
import zlib
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from ocbench.errors import DataError

BLOCK = tarfile.BLOCKSIZE
LONGEST_EXTENSION = 1 << 20  # bytes of a long name or pax record that are still believed
CHUNK = 1 << 20  # bytes read at once while skipping
DOWNLOAD_AGAIN = "download it again, or resume the download, and compare its size with the server's"
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)


@dataclass
class Member:
    """One regular file of an archive; `read` works until the next member is asked for."""

    path: str  # inside the archive, '/' between parts, no leading './'
    size: int  # bytes
    _stream: _Stream = field(repr=False)
    _left: int = field(default=-1, repr=False)

    def __post_init__(self) -> None:
        self._left = self.size

    def read(self) -> bytes:
        """The content, once; DataError where the archive ends first."""
        data = self._stream.take(self._left)
        self._left = 0
        return data


def members(file: IO[bytes], name: str, hint: str = DOWNLOAD_AGAIN) -> Iterator[Member]:
    """The regular files of an archive in its own order, read once from the start; folders are passed over.

    `file` is a binary stream (it need not be seekable), `name` what messages call it, `hint` what to do about damage.
    DataError for what is no archive, ends early or is damaged, and for members that data has no use for: absolute
    paths, paths with '..', links, devices and sparse files.
    """
    stream = _Stream(*_inflated(file, name, hint), name, hint)
    extension: dict[str, str] = {}
    while (header := stream.header()) is not None:
        if header.type == tarfile.XGLTYPE or header.type == tarfile.GNUTYPE_LONGLINK:
            stream.skip(header.size)
            stream.skip(-header.size % BLOCK)
        elif header.type == tarfile.GNUTYPE_LONGNAME or header.type in PAX:
            extension |= stream.extension(header)
        else:
            path, size = _place(header, extension, stream)
            extension = {}
            if header.type not in FILES:
                continue
            member = Member(path, size, stream)
            yield member
            stream.skip(member._left)
            stream.skip(-size % BLOCK)
            stream.members += 1


def _place(header: tarfile.TarInfo, extension: dict[str, str], stream: _Stream) -> tuple[str, int]:
    """Path and size of a member, once both and its kind are safe."""
    path, size = extension.get("path", header.name), int(extension.get("size", header.size))
    parts = path.split("/")
    if path.startswith(("/", "\\")) or ".." in path.replace("\\", "/").split("/") or parts[0].endswith(":"):
        raise stream.error(f"holds the unsafe path '{path}'", expected="paths below the archive's own folder")
    if header.issym() or header.islnk():
        raise stream.error(f"holds the link '{path}' -> '{header.linkname}'", expected="regular files and folders only")
    if header.type not in (*FILES, tarfile.DIRTYPE):
        raise stream.error(f"holds the special file '{path}'", expected="regular files and folders only")
    return "/".join(part for part in parts if part not in ("", ".")), size


def _inflated(file: IO[bytes], name: str, hint: str) -> tuple[Any, bytes]:
    """The tar stream inside `file` and its first bytes; DataError where they cannot be an archive."""
    try:
        start = file.read(2 * BLOCK)
    except OSError as cause:
        raise DataError(f"archive '{name}' cannot be read: {cause}") from cause
    if not start:
        raise DataError(f"archive '{name}' is empty", expected="a tar or tar.gz archive", hint=hint)
    if start.lstrip()[:1] == b"<":
        raise DataError(
            f"'{name}' is a web page, not an archive",
            expected="a tar or tar.gz archive",
            found=repr(start.lstrip()[:40].decode("latin-1")),
            hint="the download ended on an error page: try the other address",
        )
    if start[:2] == b"\x1f\x8b":
        joined: Any = _Joined(start, file)  # only `read` is called
        return gzip.GzipFile(fileobj=joined, mode="rb"), b""
    return file, start


class _Joined:
    """`start` and then the rest of `file`, for streams that cannot go back."""

    def __init__(self, start: bytes, file: Any) -> None:
        self._start, self._file = start, file

    def read(self, size: int = -1) -> bytes:
        if self._start:
            taken = self._start if size < 0 else self._start[:size]
            self._start = self._start[len(taken) :]
            return taken
        return self._file.read(size)


class _Stream:
    """Exact reads from a tar stream, which know how far they have come."""

    def __init__(self, file: Any, start: bytes, name: str, hint: str) -> None:
        self._file = _Joined(start, file)
        self._name, self._hint = name, hint
        self.position = 0  # bytes of the tar stream read so far
        self.members = 0  # regular files passed so far
        self._ended = False  # the last block was an end-of-archive marker

    def error(self, what: str, expected: str | None = None, hint: str | None = None) -> DataError:
        found = f"{self.members:,} whole members before, at byte {self.position:,} of the tar stream"
        return DataError(f"archive '{self._name}' {what}", expected=expected, found=found, hint=hint)

    def damage(self, what: str, expected: str | None = None) -> DataError:
        return self.error(what, expected, self._hint)

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes, or DataError."""
        data = self._up_to(size)
        if len(data) < size:
            raise self.damage("ends early", expected=f"{size:,} more bytes here")
        return data

    def skip(self, size: int) -> None:
        while size > 0:
            size -= len(self.take(min(size, CHUNK)))

    def header(self) -> tarfile.TarInfo | None:
        """The next header, or None behind the end-of-archive marker."""
        while True:
            block = self._up_to(BLOCK)
            if not block and self._ended:
                return None
            if len(block) < BLOCK:
                raise self.damage("ends early", expected="the end-of-archive marker")
            self._ended = not block.strip(b"\0")
            if not self._ended:
                return self._parsed(block)

    def _parsed(self, block: bytes) -> tarfile.TarInfo:
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as cause:
            if self.position == BLOCK:
                start = block[:8].hex(" ")
                message = f"'{self._name}' is not a tar archive"
                raise DataError(message, expected="a tar or tar.gz archive", found=f"first bytes {start}") from cause
            raise self.damage("is damaged", expected="a tar header") from cause
        if header.size < 0:
            raise self.damage(f"is damaged: '{header.name}' has a negative size")
        return header

    def extension(self, header: tarfile.TarInfo) -> dict[str, str]:
        """What a GNU long name or a pax record says of the next member: `path`, `size`."""
        if header.size > LONGEST_EXTENSION:
            raise self.damage(f"is damaged: a name of {header.size:,} bytes")
        data = self.take(header.size)
        self.skip(-header.size % BLOCK)
        if header.type == tarfile.GNUTYPE_LONGNAME:
            return {"path": data.rstrip(b"\0").decode("utf-8", "surrogateescape")}
        found = {}
        while data.strip(b"\0"):
            length, _, _ = data.partition(b" ")
            if not length.isdigit() or not len(length) < int(length) <= len(data):
                raise self.damage("is damaged: a pax record has a wrong length")
            record, data = data[len(length) + 1 : int(length) - 1], data[int(length) :]
            keyword, _, value = record.decode("utf-8", "surrogateescape").partition("=")
            if keyword.startswith("GNU.sparse") or (keyword == "size" and not _is_size(value)):
                raise self.error(f"holds a member that cannot be read ({keyword} = {value})")
            if keyword in ("path", "size"):
                found[keyword] = value
        return found

    def _up_to(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end of the stream."""
        pieces, missing = [], size
        while missing > 0:
            try:
                piece = self._file.read(missing)
            except EOFError as cause:
                raise self.damage("ends early", expected="the end of the gzip stream") from cause
            except (zlib.error, gzip.BadGzipFile) as cause:
                raise self.damage(f"is damaged: {cause}") from cause
            except OSError as cause:
                raise self.error(f"cannot be read: {cause}") from cause
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
        data = b"".join(pieces)
        self.position += len(data)
        return data


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


class Aside:
    """Contents that came before their turn: a folder of one file each, gone when the `with` block ends.

    Memory holds their names only. The folder is made where temporary files go (`TMPDIR`).
    """

    def __enter__(self) -> Aside:
        self._folder = tempfile.TemporaryDirectory(prefix="ocbench-aside-")
        self._numbers: dict[Hashable, int] = {}
        self._next = 0
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def __contains__(self, name: Hashable) -> bool:
        return name in self._numbers

    def put(self, name: Hashable, content: bytes) -> None:
        """Keeps the content under a name; DataError where the disk is full."""
        self._numbers[name] = self._next
        self._next += 1
        try:
            with open(self._path(name), "wb") as file:
                file.write(content)
        except OSError as cause:
            raise DataError(
                f"no room to set members of an archive aside in '{self._folder.name}'",
                expected="space for what comes before its turn, at worst the images and masks of a whole archive",
                found=str(cause),
                hint="point TMPDIR to a larger disk, or unpack the archive",
            ) from cause

    def take(self, name: Hashable) -> bytes | None:
        """The content kept under the name, which is forgotten; None where there is none."""
        if name not in self._numbers:
            return None
        path = self._path(name)
        with open(path, "rb") as file:
            content = file.read()
        os.unlink(path)
        del self._numbers[name]
        return content

    def _path(self, name: Hashable) -> str:
        return os.path.join(self._folder.name, str(self._numbers[name]))
