"""Files behind URLs, through fsspec: whatever its many libraries raise comes out as one kind of error."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any
from urllib.parse import unquote

import fsspec

from ocbench.errors import DataError

BUFFERED = 1 << 20  # bytes of a remote file that are asked for at once
EXTRAS = {"s3": "s3", "http": "http", "https": "http"}  # scheme -> what to install for it
KEYS = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for a store that is not Amazon's, AWS_ENDPOINT_URL"


@contextmanager
def reached(path: str, deed: str) -> Iterator[tuple[Any, str]]:
    """The file system of a URL and the path in it; whatever its library raises in the block becomes a DataError."""
    try:
        system, inner = fsspec.core.url_to_fs(path)
        system.invalidate_cache()  # others write there, too
        yield system, inner
    except (ValueError, ImportError) as wrong:
        extra = EXTRAS.get(path.partition("://")[0])
        hint = f"pip install 'ocbench[{extra}]'" if extra else "is the address right?"
        raise DataError(f"cannot reach '{path}'", found=str(wrong), hint=hint) from wrong
    except Exception as wrong:  # each store's library has errors of its own
        told = wrong.__cause__ if isinstance(wrong, FileNotFoundError) and wrong.__cause__ else wrong
        raise DataError(
            f"cannot {deed} '{path}'", found=f"{type(told).__name__}: {told}",
            hint=f"is the name right, and are {KEYS}?" if path.startswith("s3:") else None,
        ) from wrong  # fmt: skip


def opened(path: str) -> IO[bytes]:
    """The file opened for reading; DataError where it cannot be, and OSError where reading it fails."""
    with reached(path, "read") as (system, inner):
        return io.BufferedReader(_File(system.open(inner, "rb")), BUFFERED)


class _File(io.RawIOBase):
    """A remote file in which whatever its library raises while it is read is an OSError."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with _as_os_errors():
            return int(self._file.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        with _as_os_errors():
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _as_os_errors() -> Iterator[None]:
    try:
        yield
    except OSError:
        raise
    except Exception as wrong:
        raise OSError(f"{type(wrong).__name__}: {wrong}") from wrong


def exists(path: str) -> bool:
    """Whether a file or folder is there; DataError where that cannot be told."""
    with reached(path, "look for") as (system, inner):
        return bool(system.exists(inner, strict=True) if _is_web(path) else system.exists(inner))


def size(path: str) -> int:
    """Bytes of the file; DataError where they cannot be told."""
    with reached(path, "read") as (system, inner):
        if (found := system.info(inner)["size"]) is None:
            raise OSError("nobody says how many bytes it has")
    return int(found)


def listed(folder: str) -> tuple[list[str], list[str]] | None:
    """The sorted names of the folders and of the files in a folder; None where it is not there."""
    folders: list[str] = []
    files: list[str] = []
    with reached(folder, "list") as (system, root), suppress(FileNotFoundError):
        for entry in system.ls(root, detail=True):
            path = entry["name"].rstrip("/")
            name = path.rpartition("/")[2]
            if _is_web(folder):  # where links stand for files, and some of them only sort the page
                name = "" if "?" in name else unquote(name)
            if name and path != root.rstrip("/"):
                (folders if entry["type"] == "directory" else files).append(name)
        return sorted(folders), sorted(files)
    return None


def _is_web(path: str) -> bool:
    return path.startswith(("http://", "https://"))
