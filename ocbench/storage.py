"""Files, local or remote, in one place: everything else names paths and never asks where they lie."""

from __future__ import annotations

import errno
import hashlib
import math
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from ocbench import remote
from ocbench.errors import DataError


def is_remote(path: str) -> bool:
    """Whether the path is a URL (s3://, https://, memory://)."""
    return "://" in path


def open_binary(path: str) -> IO[bytes]:
    """The file opened for reading; DataError where it cannot be."""
    if is_remote(path):
        return remote.opened(path)
    try:
        return open(path, "rb")
    except OSError as wrong:
        raise DataError(f"cannot read '{path}'", found=str(wrong)) from wrong


def exists(path: str) -> bool:
    """Whether a file or folder is there."""
    return remote.exists(path) if is_remote(path) else os.path.exists(path)


@contextmanager
def reading(path: str) -> Iterator[IO[bytes]]:
    """The file opened for reading; DataError where it cannot be, or where reading it fails."""
    with open_binary(path) as file:
        try:
            yield file
        except OSError as wrong:
            raise DataError(f"cannot read '{path}'", found=str(wrong)) from wrong


def read_bytes(path: str) -> bytes:
    """The whole file; DataError where it cannot be read."""
    with reading(path) as file:
        return file.read()


def size_of(path: str) -> int:
    """Bytes of the file; DataError where it is not there."""
    if is_remote(path):
        return remote.size(path)
    with reading(path) as file:
        return file.seek(0, os.SEEK_END)


def sha256_of(path: str) -> str:
    """Hexadecimal SHA-256 of a file's bytes; DataError where they cannot be read."""
    with reading(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # every binary file has readinto


def walk(folder: str) -> Iterator[tuple[str, list[str]]]:
    """Every folder from this one down, once, with the sorted names of its files; links to folders are followed.

    Nothing where the folder is not there; DataError for one that cannot be listed.
    """
    if is_remote(folder):
        if (found := remote.listed(folder)) is not None:
            yield folder, found[1]
            for name in found[0]:
                yield from walk(f"{folder.rstrip('/')}/{name}")
        return
    seen: set[str] = set()
    for inner, folders, names in os.walk(folder, followlinks=True, onerror=_cannot_list):
        if (real := os.path.realpath(inner)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield inner, sorted(names)


def folders(folder: str) -> list[str]:
    """The sorted names of the folders in this one, links to folders among them; nothing where it is not there."""
    if is_remote(folder):
        return (remote.listed(folder) or ([], []))[0]
    return sorted(next(os.walk(folder, onerror=_cannot_list), (folder, [], []))[1])


def names(folder: str) -> list[str]:
    """The sorted names of the files and folders in this one; nothing where it is not there."""
    if is_remote(folder):
        inside, names = remote.listed(folder) or ([], [])
        return sorted(inside + names)
    try:
        return sorted(os.listdir(folder))
    except OSError as wrong:
        _cannot_list(wrong)
        return []


def _cannot_list(wrong: OSError) -> None:
    if not isinstance(wrong, FileNotFoundError | NotADirectoryError):
        raise DataError(f"cannot list '{wrong.filename}'", found=str(wrong)) from wrong


@contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """A file to write to, which becomes `path` once it is whole and on the disk; DataError where it cannot.

    What is to become a remote file is local until then.
    """
    if is_remote(path):
        with tempfile.TemporaryDirectory(prefix="ocbench-") as folder:
            local = os.path.join(folder, os.path.basename(path))
            with replacing(local) as file:
                yield file
            _upload(local, path)
        return
    beside = beside_of(path)
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as wrong:
        raise write_error(path, wrong, os.path.getsize(beside) if os.path.exists(beside) else 0) from wrong
    finally:
        remove(beside)


def _upload(local: str, path: str) -> None:
    """Puts a file there in one piece, and reads it back; DataError, and no such file, where other bytes come back."""
    with remote.reached(path, "write") as (system, inner):
        system.put_file(local, inner)
    if (found := sha256_of(path)) != (expected := sha256_of(local)):
        remove(path)
        raise DataError(f"'{path}' did not come back as it was written", expected=expected, found=found)


@contextmanager
def replacing_folder(path: str) -> Iterator[str]:
    """A folder beside the path, which takes its place at the end; DataError on a full disk: what was there stays."""
    beside = beside_of(path)
    try:
        make_folder(beside)
        yield beside
        remove(path)
        os.replace(beside, path)
    except OSError as wrong:
        raise write_error(path, wrong) from wrong
    finally:
        remove(beside)


def write_atomic(path: str, data: bytes) -> None:
    """Afterwards the file is whole, or what it was before; DataError where it cannot be written."""
    with replacing(path) as file:
        file.write(data)


def beside_of(path: str) -> str:
    """The name under which this process writes what is to be renamed to `path`."""
    return f"{path}.{platform.node()}-{os.getpid()}.part"


def clear_parts(folder: str) -> None:
    """Removes what processes of this machine left unfinished in the folder when they were killed.

    In a remote one there is no such thing.
    """
    if is_remote(folder):
        return
    unfinished = re.compile(rf".+\.{re.escape(platform.node())}-(\d+)\.part")
    for name in os.listdir(folder):
        match = unfinished.fullmatch(name)
        if match and not _runs(int(match[1])):
            remove(os.path.join(folder, name))


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, so it runs
        return True
    try:  # one that has ended may keep its number until its parent asks for it
        with open(f"/proc/{process}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] != b"Z"
    except OSError:  # no such list on this system, or gone by now
        return not os.path.isdir("/proc/self")


def make_folder(path: str) -> None:
    """The folder and those above it, made where they are missing; DataError where they cannot be.

    A remote one is there with its first file.
    """
    if is_remote(path):
        return
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as wrong:
        raise write_error(path, wrong) from wrong


@contextmanager
def temporary_folder() -> Iterator[str]:
    """A folder on the local disk ($TMPDIR) that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ocbench-") as folder:
        yield folder


def free_space(folder: str) -> float:
    """Bytes free where the folder lies; a remote one has no bounds."""
    return math.inf if is_remote(folder) else shutil.disk_usage(folder).free


def absolute(path: str) -> str:
    """The path as it is called from any working folder."""
    return path if is_remote(path) else os.path.abspath(path)


def write_error(path: str, wrong: OSError, written: int = 0) -> DataError:
    """The DataError for a failed write; a full disk is named as such, with the bytes `written` and those left."""
    folder = os.path.dirname(path) or "."
    if wrong.errno in (errno.ENOSPC, errno.EDQUOT):
        free = shutil.disk_usage(folder).free if os.path.isdir(folder) else 0
        return DataError(
            f"the disk is full: cannot write '{path}'",
            expected=f"room for more than the {written / 1e6:,.1f} MB that were written",
            found=f"{free / 1e6:,.1f} MB free in '{folder}'",
            hint="free some space, or name another --data-dir or --runs-dir, and run it again: what is whole is kept",
        )
    return DataError(f"cannot write '{path}'", found=str(wrong))


def remove(path: str) -> None:
    """Removes a file, or a local folder with all that it holds, if it is there."""
    if is_remote(path):
        with remote.reached(path, "remove") as (system, inner), suppress(FileNotFoundError):
            system.rm_file(inner)
    elif os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            os.unlink(path)
