"""`--download`, against a server on loopback: every fault ends in the very bytes of the public file or in one error."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from http_server import Fault, Site, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from ocbench import download, storage, transfer
from ocbench.errors import DataError, OcbenchError, UsageError
from ocbench.scene import DatasetSpec, Download, Protocol, Split

NAME = "shapes.tar.gz"
CONTENT = b"\x1f\x8b" + np.random.default_rng(3).bytes(700_000)  # several chunks
OTHER = CONTENT[:300_000] + bytes(200_000)
MD5 = hashlib.md5(CONTENT).hexdigest()
NO_SIZE = Fault(headers={"Content-Length": None})
PAGE = b"<!DOCTYPE html>\n<html>please sign in</html>"


@dataclass
class Desk:
    """A server with one public file, and a folder to fetch it into."""

    site: Site
    folder: Path
    said: list[str]
    paused: list[float]

    @property
    def file(self) -> Path:
        return self.folder / NAME

    def there(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def record(self, *places: str, **facts: object) -> Download:
        urls = tuple(f"{self.site.url}/{place}" for place in places or (NAME,))
        return Download(NAME, urls, license_note="CC-BY 4.0", **facts)  # type: ignore[arg-type]

    def fetch(self, *records: Download) -> None:
        say = lambda word, text: self.said.append(f"{word}: {text}")  # noqa: E731
        download.fetch(records or [self.record()], str(self.folder), say=say, pause=self.paused.append)

    def fails(self, *records: Download) -> OcbenchError:
        with pytest.raises(DataError) as caught:
            self.fetch(*records)
        return caught.value


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "public" / "old").mkdir(parents=True)
    (tmp_path / "public" / NAME).write_bytes(CONTENT)
    with serving(tmp_path / "public") as site:
        yield Desk(site, tmp_path / "raw", [], [])


# what comes


def test_a_file_comes_whole_after_its_licence_was_shown(desk: Desk) -> None:
    seen: list[tuple[int, int, str]] = []
    download.fetch([desk.record()], str(desk.folder), progress=lambda *step: seen.append(step), say=lambda *_: None)
    assert desk.file.read_bytes() == CONTENT
    assert desk.there() == [NAME]
    assert seen[-1] == (0, 0, f"MB   {NAME}")
    assert len(seen) == -(-len(CONTENT) // transfer.CHUNK)
    desk.file.unlink()
    desk.fetch()
    assert desk.said == ["licence: CC-BY 4.0", f"fetched: {desk.file}   0.7 MB"]


def test_progress_counts_the_megabytes_of_all_files(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "MEGABYTE", 100_000)
    (desk.site.root / "second").write_bytes(CONTENT[:300_000])
    seen: list[tuple[int, int, str]] = []
    files = [desk.record(), Download("second", (f"{desk.site.url}/second",))]
    download.fetch(files, str(desk.folder), progress=lambda *step: seen.append(step))
    assert {total for _, total, _ in seen} == {10}
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert seen[-1] == (10, 10, "MB   second")


@settings(max_examples=25)
@given(
    cuts=st.lists(st.integers(0, len(CONTENT) - 1), max_size=6), stop=st.none() | st.integers(0, 5), plain=st.booleans()
)
def test_any_sequence_of_cuts_ends_in_the_same_bytes(cuts: list[int], stop: int | None, plain: bool) -> None:
    """Within one call, over two calls, and from a server that knows no ranges."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "public"
        root.mkdir()
        (root / NAME).write_bytes(CONTENT)
        with serving(root) as site:
            desk = Desk(site, Path(place) / "raw", [], [])
            site.script[NAME] = [Fault(cut=cut, ranges=not plain) for cut in cuts]
            if stop is not None:
                site.script[NAME].insert(stop, Fault(status=403))
            while site.script[NAME]:
                try:
                    desk.fetch()
                except DataError:
                    assert not desk.file.exists()
            desk.fetch()
            assert desk.file.read_bytes() == CONTENT
            assert desk.there() == [NAME]


def test_a_cut_is_told_and_only_the_rest_is_asked_for(desk: Desk) -> None:
    desk.site.script[NAME] = [Fault(cut=300_000), Fault(cut=250_000)]
    desk.fetch()
    assert desk.file.read_bytes() == CONTENT
    assert desk.site.got(NAME) == [None, "bytes=300000-", "bytes=550000-"]
    assert "again: in 1 s, from byte 300,000: " in desk.said[1]
    assert "the connection ended at byte 300,000 of 700,002" in desk.said[1]
    assert desk.paused == [1.0, 1.0]  # each got further


def test_the_next_call_goes_on_where_this_one_stopped(desk: Desk) -> None:
    desk.site.script[NAME] = [Fault(cut=300_000), *[Fault(cut=0)] * len(transfer.PAUSES), Fault(status=403)]
    error = desk.fails()
    assert "the connection ended at byte 300,000 of 700,002; 4 tries got no further than byte 300,000" in str(error)
    assert "the same command goes on where this one stopped" in str(error)
    assert desk.paused == [*transfer.PAUSES]
    assert desk.there() == [f"{NAME}.part", f"{NAME}.part.json"]
    desk.site.script[NAME] = []
    desk.fetch()
    assert desk.site.got(NAME)[-1] == "bytes=300000-"
    assert desk.file.read_bytes() == CONTENT


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_is_busy_is_asked_again(desk: Desk, status: int) -> None:
    desk.site.script[NAME] = [Fault(status=status), Fault(status=status)]
    desk.fetch()
    assert desk.file.read_bytes() == CONTENT
    assert desk.paused == [1.0, 5.0]


def test_a_server_that_falls_silent_is_asked_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", 0.2)
    desk.site.script[NAME] = [Fault(stall=True)]
    desk.fetch()
    assert desk.file.read_bytes() == CONTENT
    assert "timed out" in desk.said[1]


def partial(desk: Desk, held: int, content: bytes = CONTENT, validator: str | None = "", size: int = 0) -> None:
    """What a call that was cut has left."""
    desk.folder.mkdir()
    (desk.folder / f"{NAME}.part").write_bytes(content[:held])
    note = {
        "size": size or len(content),
        "validator": f'"{hashlib.md5(content).hexdigest()}"' if validator == "" else validator,
    }
    (desk.folder / f"{NAME}.part.json").write_text(json.dumps(note))


@pytest.mark.parametrize(
    ("held", "content", "note"),
    [
        (1000, CONTENT[::-1], {}),  # the server's file has changed
        (1000, OTHER, {"size": len(CONTENT)}),  # its size has not
        (1000, b"x" * 1000, {"validator": None}),  # nobody could tell
        (900_000, CONTENT + bytes(300_000), {}),  # more than there is by now
        (1000, b"x" * 1000, None),  # a part of nobody knows what
        (1000, b"x" * 1000, "[1"),
        (1000, b"x" * 1000, "[1]"),
    ],
)
def test_a_part_of_another_state_of_the_file_is_dropped(desk: Desk, held: int, content: bytes, note: object) -> None:
    partial(desk, held, content, **(note if isinstance(note, dict) else {}))
    beside = desk.folder / f"{NAME}.part.json"
    if note is None:
        beside.unlink()
    elif isinstance(note, str):
        beside.write_text(note)
    desk.fetch()
    assert desk.file.read_bytes() == CONTENT
    assert desk.there() == [NAME]


def test_a_part_that_is_whole_is_confirmed_by_its_last_byte(desk: Desk) -> None:
    partial(desk, len(CONTENT))
    desk.fetch()
    assert desk.site.got(NAME) == [f"bytes={len(CONTENT) - 1}-"]
    assert desk.file.read_bytes() == CONTENT


def test_where_no_state_of_the_file_is_told_all_is_asked_for_again(desk: Desk) -> None:
    unmarked = {"ETag": None}
    before = Fault(body=CONTENT[::-1], headers=unmarked, cut=300_000)
    desk.site.script[NAME] = [before, Fault(headers=unmarked)]
    desk.fetch()
    assert desk.site.got(NAME) == [None, None]
    assert desk.file.read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(desk: Desk) -> None:
    desk.site.script[NAME] = [Fault(cut=300_000), Fault(ranges=False)]
    desk.fetch()
    assert desk.file.read_bytes() == CONTENT
    assert desk.site.got(NAME) == [None, "bytes=300000-"]


def test_without_size_a_checksum_tells_the_end(desk: Desk) -> None:
    desk.site.heads[NAME] = NO_SIZE
    desk.site.script[NAME] = [NO_SIZE]
    desk.fetch(desk.record(checksum=f"md5:{MD5}"))
    assert desk.file.read_bytes() == CONTENT


# what does not come


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ([Fault(status=403)], "answers 403 Forbidden"),
        ([Fault(body=PAGE, kind="text/html; charset=utf-8")], "a web page, not the file"),
        ([Fault(body=b"\n" + PAGE.ljust(len(CONTENT) - 1))], "a web page or nothing, not the file"),
        ([Fault(body=b"")], "states 0 bytes, where 700,002 were stated before"),
        ([Fault(body=CONTENT[:-9])], "states 699,993 bytes, where 700,002 were stated before"),
        ([NO_SIZE], "states neither size nor checksum: a cut could not be noticed"),
        ([Fault(status=202)], "answers 202"),
        ([Fault(shift=5)], "sends byte 5 and on, where 0 and on were asked for"),
        ([Fault(cut=300_000), Fault(shift=-7)], "sends byte 299,993 and on, where 300,000 and on were asked for"),
        ([Fault(shift=0, cut=9), Fault(headers={"Content-Range": "bytes 9-*/*"})], "a part of the file without saying"),
        ([Fault(headers={"Content-Length": "800000"})] * 9, "states 800,000 bytes, where 700,002 were stated before"),
        ([Fault(cut=9), Fault(status=404)], "answers 404 Not Found"),
    ],
)  # fmt: skip
def test_what_is_not_the_file_never_gets_its_name(desk: Desk, faults: list[Fault], message: str) -> None:
    desk.site.script[NAME] = list(faults)
    error = desk.fails()
    assert message in (error.found or "")
    assert error.message == f"cannot fetch '{NAME}'"
    assert f"{desk.site.url}/{NAME}: " in (error.found or "")
    assert f"place it in '{desk.folder}' by hand" in (error.hint or "")
    assert not desk.file.exists()
    desk.site.script[NAME] = []
    desk.fetch()
    assert desk.file.read_bytes() == CONTENT


def test_more_than_was_stated_is_not_the_file(desk: Desk) -> None:
    headers = {"Content-Range": "bytes 300000-700001/700002", "ETag": f'"{MD5}"'}
    desk.site.script[NAME] = [Fault(cut=300_000), Fault(body=CONTENT + bytes(9), headers=headers)]
    assert "700,011 bytes came, where 700,002 were stated" in (desk.fails().found or "")
    assert desk.there() == []


def test_a_server_that_promises_too_much_is_given_up(desk: Desk) -> None:
    lie = Fault(headers={"Content-Length": "800000"})
    desk.site.heads[NAME] = lie
    desk.site.script[NAME] = [lie] * 20
    assert "the connection ended at byte 700,002 of 800,000; 4 tries got no further" in (desk.fails().found or "")
    assert not desk.file.exists()


@pytest.mark.parametrize("kind", ["record", "beside", "google-md5", "google-crc32c"])
def test_a_wrong_checksum_drops_all_that_came(desk: Desk, kind: str) -> None:
    record = desk.record()
    wrong = bytearray(CONTENT)
    wrong[500_000] ^= 1
    if kind == "record":
        record = replace(record, checksum=f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")
    elif kind == "beside":
        (desk.site.root / "shapes.md5").write_text(f"{MD5}  {NAME}\n")
        record = replace(record, checksum_urls=(f"{desk.site.url}/gone.md5", f"{desk.site.url}/shapes.md5"))
    crc = google_crc32c.Checksum(CONTENT).digest()
    digest = hashlib.md5(CONTENT).digest() if kind == "google-md5" else crc
    name = "md5" if kind == "google-md5" else "crc32c"
    headers = {"x-goog-hash": f"{name}={base64.b64encode(digest).decode()}"} if kind.startswith("google") else {}
    desk.site.script[NAME] = [Fault(body=bytes(wrong), headers=headers)]
    error = desk.fails(record)
    assert {"record": "sha256 ", "beside": "md5 ", "google-md5": "md5 ", "google-crc32c": "crc32c "}[
        kind
    ] in error.found
    assert desk.there() == []
    desk.site.script[NAME] = [Fault(headers=headers)]
    desk.fetch(record)
    assert desk.file.read_bytes() == CONTENT
    assert any("no checksum: " in line and "answers 404" in line for line in desk.said) == (kind == "beside")


def test_a_file_of_checksums_without_one_is_told(desk: Desk) -> None:
    (desk.site.root / "shapes.md5").write_bytes(PAGE)
    desk.fetch(desk.record(checksum_urls=(f"{desk.site.url}/shapes.md5",)))
    assert f"no checksum: of {NAME}: {desk.site.url}/shapes.md5: states no MD5" in desk.said


def test_addresses_are_tried_in_order_and_each_failure_is_said(desk: Desk) -> None:
    desk.site.script["first"] = [Fault(status=403)]
    desk.site.script["second"] = [Fault(body=PAGE, kind="text/html")]
    (desk.site.root / "old" / NAME).write_bytes(CONTENT)
    desk.fetch(desk.record("first", "second", f"old/{NAME}"))
    assert desk.file.read_bytes() == CONTENT
    assert desk.said[1:3] == [
        f"failed: {desk.site.url}/first: answers 403 Forbidden",
        f"failed: {desk.site.url}/second: a web page, not the file",
    ]


def test_another_address_goes_on_with_the_same_file(desk: Desk) -> None:
    (desk.site.root / "old" / NAME).write_bytes(CONTENT)
    desk.site.script[NAME] = [Fault(cut=300_000), Fault(status=403)]
    desk.fetch(desk.record(NAME, f"old/{NAME}"))
    assert desk.site.got(f"old/{NAME}") == ["bytes=300000-"]
    assert desk.file.read_bytes() == CONTENT


def test_a_file_that_nobody_serves_is_told_before_anything_is_fetched(desk: Desk) -> None:
    lost = Download("lost.tar.gz", (f"{desk.site.url}/lost.tar.gz", f"{desk.site.url}/old/lost.tar.gz"))
    error = desk.fails(desk.record(), lost)
    assert error.message == "cannot fetch 'lost.tar.gz'"
    assert (error.found or "").count("answers 404 Not Found") == 2
    assert "(--splits)" in (error.hint or "")
    assert desk.site.got(NAME) == []
    assert desk.there() == []


def test_nobody_at_the_address(desk: Desk) -> None:
    desk.site.url = "http://127.0.0.1:9"
    error = desk.fails()
    assert "http://127.0.0.1:9/" in (error.found or "")
    assert "refused" in (error.found or "")
    assert desk.paused == [*transfer.PAUSES]


# what is there already


def test_what_is_there_and_right_is_kept(desk: Desk) -> None:
    desk.fetch()
    before = desk.file.stat().st_mtime_ns
    desk.site.asked.clear()
    desk.fetch(desk.record(checksum=f"md5:{MD5}"))
    assert desk.said[-1] == f"kept: {desk.file}   size and md5 as published"
    assert (desk.file.stat().st_mtime_ns, desk.site.got(NAME)) == (before, [])
    desk.site.heads[NAME] = Fault(status=500)
    desk.fetch()
    assert desk.said[-1] == f"kept: {desk.file}   NOT COMPARED: no answer"


@pytest.mark.parametrize(
    ("content", "found"), [(CONTENT[:-1], "700,001 bytes, not 700,002"), (CONTENT[:-1] + b"!", "md5 ")]
)
def test_what_is_there_and_wrong_is_refused_before_anything_is_fetched(desk: Desk, content: bytes, found: str) -> None:
    desk.folder.mkdir()
    desk.file.write_bytes(content)
    (desk.site.root / "second").write_bytes(CONTENT)
    error = desk.fails(Download("second", (f"{desk.site.url}/second",)), desk.record(checksum=f"md5:{MD5}"))
    assert error.message == f"'{desk.file}' is not the public file"
    assert found in (error.found or "")
    assert "--download replaces nothing" in (error.hint or "")
    assert desk.file.read_bytes() == content
    assert desk.there() == [NAME]


def test_what_came_there_meanwhile_is_kept(desk: Desk) -> None:
    def place(word: str, text: str) -> None:
        desk.file.write_bytes(b"mine")

    desk.site.script[NAME] = [Fault(cut=300_000)]
    with pytest.raises(DataError, match="came there meanwhile"):
        download.fetch(
            [desk.record()],
            str(desk.folder),
            say=lambda w, t: place(w, t) if w == "again" else None,
            pause=lambda _: None,
        )
    assert desk.file.read_bytes() == b"mine"


def test_two_calls_do_not_write_one_file(desk: Desk) -> None:
    desk.folder.mkdir()
    with open(desk.folder / f"{NAME}.part", "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "another process is fetching" in desk.fails().message
    desk.fetch()
    assert desk.file.read_bytes() == CONTENT


# the disk


def test_what_will_not_fit_is_refused_before_the_first_byte(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "free_space", lambda folder: 500_000)
    error = desk.fails()
    assert error.message == f"the disk is too full for the files to be fetched into '{desk.folder}'"
    assert (error.expected, error.found) == (f"0.7 MB for {NAME}", "0.5 MB free")
    assert desk.site.got(NAME) == []
    desk.folder.rmdir()
    partial(desk, 300_000)
    desk.fetch()  # only the rest is to come
    assert desk.file.read_bytes() == CONTENT


def test_where_no_server_says_the_size_the_record_does(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "free_space", lambda folder: 1_000_000)
    desk.site.heads[NAME] = Fault(status=405)
    assert "2.0 MB for" in (desk.fails(desk.record(size=2_000_000)).expected or "")
    desk.fetch(desk.record(size=900_000))  # roughly
    assert desk.file.read_bytes() == CONTENT


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_disk_that_fills_up_is_named(desk: Desk) -> None:
    desk.folder.mkdir()
    (desk.folder / f"{NAME}.part").symlink_to("/dev/full")
    assert "the disk is full: cannot write" in desk.fails().message
    assert not desk.file.exists()


# the command line


def spec(*files: Download) -> DatasetSpec:
    splits = (Split("train", "full"), Split("val", "full"), Split("ood", "outd"))
    other = Split("train", "hdf5")
    protocols = (
        Protocol("first", 1, (8, 8), 3, splits),
        Protocol("oclib", 1, (8, 8), 3, (other,)),
        Protocol("rendered", 1, (8, 8), 3, (Split("train", "none"),)),
    )
    return DatasetSpec("toys", "Toys", protocols, lambda source, partial: {}, lambda *_: iter(()), downloads=files)


def test_only_the_files_of_the_chosen_splits_are_needed() -> None:
    names = {"full": ("full",), "outd": ("outd",), "h5": ("hdf5",), "both": ("full", "outd")}
    toys = spec(*(Download(name, ("u",), parts=parts) for name, parts in names.items()))

    def chosen(protocol: str, splits: list[str] | None = None) -> list[str]:
        return [file.name for file in download.needed(toys, toys.protocol(protocol), splits)]

    assert chosen("first") == ["full", "outd", "both"]
    assert chosen("first", ["val"]) == ["full", "both"]
    assert chosen("oclib") == ["h5"]
    with pytest.raises(UsageError, match="nothing to download for 'toys'"):
        chosen("rendered")
    with pytest.raises(OcbenchError, match="no split named 'tset'"):
        chosen("first", ["tset"])
