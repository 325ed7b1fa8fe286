"""One file over HTTP, in as many requests as it takes: whole and checked under its name, or not there at all.

It grows as `NAME.part`. `NAME.part.json` beside it says which state of the server's file it is a part of (size and
validator), so that the same call goes on where it was cut, and starts over where the server's file has changed.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import google_crc32c

from ocbench import storage
from ocbench.errors import DataError

TIMEOUT = 60.0  # seconds, for the connection and for every read
PAUSES = (1.0, 5.0, 20.0)  # seconds before each further try that gets no further than the ones before
CHUNK = 1 << 18
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that another try may mend
HASHES: Mapping[str, Callable[[], Any]] = {
    "md5": hashlib.md5, "sha256": hashlib.sha256, "crc32c": google_crc32c.Checksum,
}  # fmt: skip

Say = Callable[[str, str], None]
Pause = Callable[[float], None]
Note = Callable[[int], None]  # called with the bytes that are there


class UnfitError(Exception):
    """What an address gives is not the file, however often it is asked; another one may have it."""


@dataclass(frozen=True)
class Answer:
    """What a server says of a file before it sends it."""

    size: int | None  # bytes of the whole file
    validator: str | None  # another one for another state of the file
    digests: Mapping[str, str]  # hexadecimal, by kind
    start: int  # the first byte that is sent


def opened(url: str, method: str = "GET", **headers: str) -> HTTPResponse:
    """The response, its body still to be read."""
    return urlopen(Request(url, headers=headers, method=method), timeout=TIMEOUT)


def answer_of(response: HTTPResponse) -> Answer:
    """What the response says of the file; UnfitError where it is not about one."""
    headers = response.headers
    start, size = 0, headers.get("Content-Length", "")
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
        if found is None:
            raise UnfitError("sends a part of the file without saying which")
        start, size = int(found[1]), found[2]
    elif response.status != 200:
        raise UnfitError(f"answers {response.status}")
    if headers.get_content_type() == "text/html":
        raise UnfitError("a web page, not the file")
    google = re.findall(r"(md5|crc32c)=([\w+/]+=*)", ",".join(headers.get_all("x-goog-hash", [])))
    return Answer(
        int(size) if size.isdecimal() else None,
        headers.get("ETag") or headers.get("Last-Modified"),
        {kind: base64.b64decode(digest).hex() for kind, digest in google},
        start,
    )


def told(wrong: Exception) -> str:
    """What went wrong on the line, in a few words."""
    if isinstance(wrong, HTTPError):
        wrong.close()
        return f"answers {wrong.code} {wrong.reason}"
    return str(wrong.reason if isinstance(wrong, URLError) else wrong) or type(wrong).__name__


def differing(path: str, digests: Mapping[str, str]) -> str | None:
    """What differs between a file's digests and the expected ones; None where nothing does."""
    for kind, expected in digests.items():
        hashed = HASHES[kind]()
        with storage.reading(path) as file:
            while chunk := file.read(CHUNK):
                hashed.update(chunk)
        if (found := hashed.digest().hex()) != expected:
            return f"{kind} {found}, not {expected}"
    return None


def transfer(
    url: str, growing: Growing, size: int | None, digests: Mapping[str, str], note: Note, say: Say, pause: Pause
) -> None:
    """Brings the file under its name; UnfitError where this address cannot give it.

    `size` and `digests` are those known before. A server that cuts is asked again for as long as it gets further, and
    then a few times more.
    """
    most, pauses = growing.size, iter(PAUSES)
    while True:
        try:
            stated = _receive(url, growing, size, digests, note)
            break
        except (OSError, HTTPException) as wrong:
            problem = told(wrong)
            if isinstance(wrong, HTTPError) and wrong.code not in PASSING:
                raise UnfitError(problem) from wrong
        if growing.size > most:
            most, pauses = growing.size, iter(PAUSES)
        wait = next(pauses, None)
        if wait is None:
            raise UnfitError(f"{problem}; {len(PAUSES) + 1} tries got no further than byte {most:,}")
        say("again", f"in {wait:.0f} s, from byte {growing.size:,}: {url}: {problem}")
        pause(wait)
    growing.finish({**stated, **digests})


def _receive(url: str, growing: Growing, size: int | None, digests: Mapping[str, str], note: Note) -> Mapping[str, str]:
    """One request for all that is still to come; the digests that the server states."""
    held = growing.resumable()
    try:
        response = opened(url, Range=f"bytes={held}-") if held else opened(url)
    except HTTPError as wrong:
        if wrong.code != 416 or not held:
            raise
        wrong.close()
        growing.forget()  # the server's file ends before ours does
        return _receive(url, growing, size, digests, note)
    with response:
        answer = answer_of(response)
        if answer.start not in (0, held):
            raise UnfitError(f"sends byte {answer.start:,} and on, where {held:,} and on were asked for")
        if held and not (answer.start and growing.is_part_of(answer)):
            growing.forget()
            if answer.start:  # the rest of another state of the file
                return _receive(url, growing, size, digests, note)
        if not growing.size:
            _refuse_uncertain(answer, size, digests)
            growing.begin(answer)
        while chunk := response.read(CHUNK):
            growing.append(chunk)
            note(growing.size)
    if answer.size is not None and growing.size < answer.size:
        raise ConnectionError(f"the connection ended at byte {growing.size:,} of {answer.size:,}")
    return answer.digests


def _refuse_uncertain(answer: Answer, size: int | None, digests: Mapping[str, str]) -> None:
    """Refuses an answer by which nobody could tell whether what comes is whole."""
    if answer.size is None and not (answer.digests or digests):
        raise UnfitError("states neither size nor checksum: a cut could not be noticed")
    if answer.size is not None and size not in (None, answer.size):
        raise UnfitError(f"states {answer.size:,} bytes, where {size:,} were stated before")


class Growing:
    """A file that grows beside its final name, in the hands of one process."""

    def __init__(self, path: str) -> None:
        self._path, self._part, self._note = path, f"{path}.part", f"{path}.part.json"

    def __enter__(self) -> Growing:
        try:
            self._file = open(self._part, "ab")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = os.path.samestat(os.fstat(self._file.fileno()), os.stat(self._part))
        except (BlockingIOError, FileNotFoundError):
            ours = False
        except OSError as wrong:
            raise storage.write_error(self._part, wrong) from wrong
        if not ours:
            raise DataError(f"another process is fetching '{self._path}'", hint="wait for it, then try again")
        return self

    def __exit__(self, *_: object) -> None:
        if not self.size:
            storage.remove(self._part)
            storage.remove(self._note)
        with suppress(OSError):  # on a full disk, of which `append` has told
            self._file.close()

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return os.fstat(self._file.fileno()).st_size

    def _noted(self) -> dict[str, Any]:
        try:
            found = json.loads(storage.read_bytes(self._note)) if os.path.exists(self._note) else {}
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def resumable(self) -> int:
        """Bytes to go on from; without a validator nobody could tell whether the rest belongs to them.

        Of a whole file the last byte is fetched again: the server then says whether it still has that file.
        """
        noted = self._noted()
        if self.size and not noted.get("validator"):
            self.forget()
        elif self.size and self.size == noted.get("size"):
            self._cut(self.size - 1)
        return self.size

    def is_part_of(self, answer: Answer) -> bool:
        """Whether what is there is the beginning of the file that a server is about to send the rest of."""
        return self._noted() == {"size": answer.size, "validator": answer.validator}

    def begin(self, answer: Answer) -> None:
        """Notes what is to come."""
        note = {"size": answer.size, "validator": answer.validator}
        storage.write_atomic(self._note, json.dumps(note).encode())

    def forget(self) -> None:
        """Drops all that is there."""
        storage.remove(self._note)
        self._cut(0)

    def append(self, chunk: bytes) -> None:
        """Adds bytes; DataError on a full disk."""
        with self._writing():
            self._file.write(chunk)
            self._file.flush()

    def _cut(self, size: int) -> None:
        with self._writing():
            self._file.truncate(size)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """The disk's errors told as such, and not as the line's."""
        try:
            yield
        except OSError as wrong:
            raise storage.write_error(self._part, wrong, self.size) from wrong

    def finish(self, digests: Mapping[str, str]) -> None:
        """Gives the file its name once it is what it should be; else UnfitError, and all is dropped."""
        if wrong := self._fault() or differing(self._part, digests):
            self.forget()
            raise UnfitError(wrong)
        if os.path.exists(self._path):
            raise DataError(f"'{self._path}' came there meanwhile", hint="the same command again compares it")
        with self._writing():
            os.fsync(self._file.fileno())
            os.rename(self._part, self._path)
        storage.remove(self._note)

    def _fault(self) -> str | None:
        with storage.reading(self._part) as file:
            if file.read(256).lstrip()[:1] in (b"<", b""):
                return "a web page or nothing, not the file"
        size = self._noted().get("size")
        return f"{self.size:,} bytes came, where {size:,} were stated" if size not in (None, self.size) else None
