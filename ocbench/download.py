"""Verb: the public files of a dataset, brought into a folder from the addresses that its record names.

What can be told before the first byte is told then: the licence, a file that is there and wrong or that nobody serves
any more, a disk on which it all will not fit. Nothing that is there is ever replaced.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from urllib.error import HTTPError

from ocbench import storage
from ocbench.errors import DataError, UsageError
from ocbench.scene import DatasetSpec, Download, Protocol
from ocbench.transfer import Growing, Note, Pause, Say, UnfitError, answer_of, differing, opened, told, transfer

GONE = (404, 410)
MEGABYTE = 1_000_000

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class _File:
    """A file to be fetched, or there already."""

    download: Download
    path: str
    size: int | None  # bytes, as a server says
    digests: Mapping[str, str]  # hexadecimal, by kind

    @property
    def foreseen(self) -> int:
        """Bytes, as far as anybody says."""
        return self.size or self.download.size or 0


def needed(spec: DatasetSpec, protocol: Protocol, splits: Sequence[str] | None) -> list[Download]:
    """The public files that the splits (None: all of the protocol) are made from; UsageError where there are none."""
    parts = {protocol.split(name).part for name in splits or [split.name for split in protocol.splits]}
    found = [download for download in spec.downloads if not download.parts or parts & set(download.parts)]
    if not found:
        raise UsageError(f"there is nothing to download for '{spec.name}'", hint="leave --download out")
    return found


def absent(downloads: Sequence[Download], folder: str) -> list[Download]:
    """Those of the files that are not in the folder; asks nobody."""
    return [download for download in downloads if not os.path.exists(os.path.join(folder, download.name))]


def fetch(
    downloads: Sequence[Download],
    folder: str,
    *,
    progress: Progress | None = None,
    say: Say = lambda word, text: None,
    pause: Pause = time.sleep,
) -> None:
    """Brings the files into the folder, those that are there and right excepted; DataError where one cannot be had."""
    for text in dict.fromkeys(download.license_note for download in downloads if download.license_note):
        say("licence", text)
    storage.make_folder(folder)
    files = [_asked(download, os.path.join(folder, download.name), say) for download in downloads]
    files = [file for file in files if not _is_there(file, say)]
    _refuse_full_disk(files, folder)
    before = 0

    def note(file: _File, held: int) -> None:
        if progress is not None:
            total = max(sum(file.foreseen for file in files), before + held)
            progress((before + held) // MEGABYTE, total // MEGABYTE, f"MB   {file.download.name}")

    for file in files:
        _fetch(file, partial(note, file), say, pause)
        before += os.path.getsize(file.path)


def _asked(download: Download, path: str, say: Say) -> _File:
    """The file with what the first server to answer says of it; DataError where no address has it any more."""
    digests = _published(download, say)
    gone = []
    for url in download.urls:
        try:
            with opened(url, "HEAD") as response:
                answer = answer_of(response)
            return _File(download, path, answer.size or None, {**answer.digests, **digests})
        except (UnfitError, OSError, HTTPException) as wrong:  # a GET may go better, and else tells what is wrong
            if isinstance(wrong, HTTPError) and wrong.code in GONE:
                gone.append(f"{url}: {told(wrong)}")
    if len(gone) == len(download.urls) and not os.path.exists(path):
        raise _not_to_be_had(download, path, gone)
    return _File(download, path, None, digests)


def _published(download: Download, say: Say) -> dict[str, str]:
    """The digest that the dataset's record or a file beside the address states, by kind."""
    if download.checksum:
        kind, _, digest = download.checksum.partition(":")
        return {kind: digest.lower()}
    for url in download.checksum_urls:
        try:
            with opened(url) as response:
                text = response.read(4096).decode("latin-1")
        except (OSError, HTTPException) as wrong:
            problem = told(wrong)
        else:
            if found := re.search(r"\b[0-9a-fA-F]{32}\b", text):
                return {"md5": found[0].lower()}
            problem = "states no MD5"
        say("no checksum", f"of {download.name}: {url}: {problem}")
    return {}


def _is_there(file: _File, say: Say) -> bool:
    """Whether the file is there and right, as far as it can be told; DataError where it is there and wrong."""
    if not os.path.exists(file.path):
        return False
    size = os.path.getsize(file.path)
    if file.size not in (None, size):
        wrong: str | None = f"{size:,} bytes, not {file.size:,}"
    else:
        wrong = differing(file.path, file.digests)
    if wrong:
        raise DataError(
            f"'{file.path}' is not the public file",
            expected=f"what {file.download.urls[0]} gives",
            found=wrong,
            hint="move it away or remove it: --download replaces nothing",
        )
    compared = [*(["size"] if file.size else []), *file.digests]
    say("kept", f"{file.path}   {' and '.join(compared) + ' as published' if compared else 'NOT COMPARED: no answer'}")
    return True


def _refuse_full_disk(files: Sequence[_File], folder: str) -> None:
    """Refuses to begin what will not fit."""
    whole = sum(file.foreseen for file in files)
    held = sum(os.path.getsize(part) for file in files if os.path.exists(part := f"{file.path}.part"))
    free = storage.free_space(folder)
    if free < whole - held:
        raise DataError(
            f"the disk is too full for the files to be fetched into '{folder}'",
            expected=f"{(whole - held) / MEGABYTE:,.1f} MB for {', '.join(file.download.name for file in files)}",
            found=f"{free / MEGABYTE:,.1f} MB free",
            hint="free some space, name another --data-dir, or fetch less: --splits",
        )


def _fetch(file: _File, note: Note, say: Say, pause: Pause) -> None:
    """Fetches one file from the first address that has it."""
    problems = []
    with Growing(file.path) as growing:
        for url in file.download.urls:
            try:
                transfer(url, growing, file.size, file.digests, note, say, pause)
            except UnfitError as wrong:
                problems.append(f"{url}: {wrong}")
                say("failed", problems[-1])
            else:
                say("fetched", f"{file.path}   {os.path.getsize(file.path) / MEGABYTE:,.1f} MB")
                return
    raise _not_to_be_had(file.download, file.path, problems)


def _not_to_be_had(download: Download, path: str, problems: Sequence[str]) -> DataError:
    return DataError(
        f"cannot fetch '{download.name}'",
        expected=f"the file at one of {len(download.urls)} addresses",
        found=("\n" + " " * 12).join(problems),
        hint="the same command goes on where this one stopped; or leave out what needs the file (--splits), or place "
        f"it in '{os.path.dirname(path)}' by hand",
    )
