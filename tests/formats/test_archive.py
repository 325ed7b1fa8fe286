"""Archives: order, names of every dialect of tar, damage of every kind, members that no safe archive has."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc

import pytest

from ocbench.errors import DataError
from ocbench.formats.archive import Aside, members

LONG = "a/" + "b" * 180 + "/c.png"
CONTENTS = {"./one.png": b"1" * 700, "two/x.json": b"", LONG: b"3" * 512, "two/é.png": b"4" * 5000}


def packed(contents: dict[str, bytes] = CONTENTS, form: int = tarfile.GNU_FORMAT, **change: object) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=form, pax_headers={"comment": "all"} if form == 2 else {}
    ) as tar:
        folder = tarfile.TarInfo("two")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in contents.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            for key, value in change.items():
                setattr(header, key, value)
            tar.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


def content(data: bytes) -> dict[str, bytes]:
    return {member.path: member.read() for member in members(io.BytesIO(data), "x.tar")}


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("squeeze", [bytes, gzip.compress])
def test_members_come_in_order_with_long_names(form: int, squeeze) -> None:
    found = content(squeeze(packed(form=form)))
    assert found == {name.removeprefix("./"): data for name, data in CONTENTS.items()}
    assert list(found) == [name.removeprefix("./") for name in CONTENTS]


def test_members_may_be_left_unread() -> None:
    assert [member.size for member in members(io.BytesIO(packed()), "x.tar")] == [700, 0, 512, 5000]


def test_archives_joined_with_cat_are_read_to_the_end() -> None:
    other = {"late.png": b"late"}
    assert content(packed() + packed(other))["late.png"] == b"late"
    assert content(gzip.compress(packed()) + gzip.compress(packed(other)))["late.png"] == b"late"


def test_every_cut_is_noticed() -> None:
    whole = packed()
    last = max(place for place in range(0, len(whole), 512) if whole[place : place + 512].strip(b"\0"))
    for cut in (*range(1, last + 512, 257), last + 512):
        with pytest.raises(DataError, match=r"ends early|not a tar"):
            content(whole[:cut])
        with pytest.raises(DataError, match=r"ends early|not a tar"):  # a whole gzip file around a cut archive
            content(gzip.compress(whole[:cut]))
    squeezed = gzip.compress(whole)
    for cut in range(20, len(squeezed) - 1, 23):
        with pytest.raises(DataError, match="ends early") as caught:
            content(squeezed[:cut])
    assert "whole members before, at byte" in (caught.value.found or "")


def test_damage_is_noticed() -> None:
    whole = bytearray(packed())
    header = next(place for place in range(512, len(whole), 512) if whole[place : place + 3] == b"two")
    whole[header + 1] ^= 1
    with pytest.raises(DataError, match="is damaged"):
        content(bytes(whole))
    squeezed = bytearray(gzip.compress(packed()))
    squeezed[-6] ^= 1  # the checksum of the stream
    with pytest.raises(DataError, match="is damaged: CRC"):
        content(bytes(squeezed))
    squeezed[30] ^= 255
    with pytest.raises(DataError, match=r"is damaged|ends early"):
        content(bytes(squeezed))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>Not found</html>", "is a web page"),
        (b"PK\x03\x04" + b"zip" * 400, "is not a tar archive"),
        (gzip.compress(b"some text" * 200, mtime=0), "is not a tar archive"),
        (packed({"/etc/passwd": b"x"}), "unsafe path '/etc/passwd'"),
        (packed({"a/../../x": b"x"}), r"unsafe path 'a/\.\./\.\./x'"),
        (packed({"a\\..\\x": b"x"}), "unsafe path"),
        (packed({"C:/x": b"x"}), "unsafe path"),
        (packed({"x": b""}, type=tarfile.SYMTYPE, linkname="/etc/passwd"), "link 'x' -> '/etc/passwd'"),
        (packed({"x": b""}, type=tarfile.LNKTYPE, linkname="y"), "link 'x' -> 'y'"),
        (packed({"x": b""}, type=tarfile.FIFOTYPE), "special file 'x'"),
        (packed({"x": b""}, type=tarfile.GNUTYPE_SPARSE), "special file 'x'"),
    ],
)
def test_what_is_no_safe_archive_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        content(data)
    assert "x.tar" in str(caught.value)


def extended(kind: bytes, record: bytes, size: int | None = None) -> bytes:
    header = tarfile.TarInfo("extension")
    header.type, header.size = kind, len(record) if size is None else size
    return header.tobuf() + record + bytes(-len(record) % 512) + packed()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (extended(tarfile.XHDTYPE, b"99 path=x\n"), "pax record has a wrong length"),
        (extended(tarfile.XHDTYPE, b"path=x\n"), "pax record has a wrong length"),
        (extended(tarfile.XHDTYPE, b"11 size=-1\n"), "member that cannot be read"),
        (extended(tarfile.XHDTYPE, "11 size=²\n".encode()), "member that cannot be read"),
        (extended(tarfile.XHDTYPE, b"5009 size=" + b"9" * 4998 + b"\n"), "member that cannot be read"),
        (extended(tarfile.XHDTYPE, b"22 GNU.sparse.major=1\n"), "member that cannot be read"),
        (extended(tarfile.GNUTYPE_LONGNAME, b"x", 1 << 30), "a name of 1,073,741,824 bytes"),
    ],
)
def test_damaged_extensions_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        content(data)


def test_long_link_names_are_passed_over() -> None:
    assert next(iter(content(extended(tarfile.GNUTYPE_LONGLINK, b"x" * 200)))) == "one.png"


@pytest.mark.parametrize("good", [0, 1024, 3000])
def test_a_device_that_fails_is_named(good: int) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int = -1) -> bytes:
            if self.tell() + size > good:
                raise OSError("connection reset")
            return super().read(size)

    with pytest.raises(DataError, match=r"archive 'x\.tar' cannot be read: connection reset"):
        list(members(Failing(packed()), "x.tar"))


def test_the_hint_of_damage_is_the_caller_s() -> None:
    with pytest.raises(DataError, match="hint      write it anew"):
        list(members(io.BytesIO(packed()[:700]), "x.tar", hint="write it anew"))


def test_memory_does_not_grow_with_the_archive() -> None:
    """Half a gigabyte of members from a stream that cannot seek, without keeping any."""
    header = tarfile.TarInfo("x.png")
    header.size = 1 << 20
    block = header.tobuf() + bytes(1 << 20)

    class Endless(io.RawIOBase):
        left, rest = 512, b""

        def read(self, size: int = -1) -> bytes:
            if not self.rest and self.left:
                self.rest, self.left = block, self.left - 1
            taken, self.rest = self.rest[:size], self.rest[size:]
            return taken if taken else self.end(size)

        done = 0

        def end(self, size: int) -> bytes:
            taken = min(size, 1024 - self.done)
            self.done += taken
            return bytes(taken)

    tracemalloc.start()
    assert sum(1 for _ in members(Endless(), "x.tar")) == 512
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_aside_keeps_on_disk_and_cleans_up(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Aside() as aside:
        aside.put((1, "image"), b"abc")
        assert (1, "image") in aside
        assert list(tmp_path.rglob("*"))
        assert aside.take((1, "image")) == b"abc"
        assert aside.take((1, "image")) is None
        aside.put("left", b"behind")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_named(tmp_path, monkeypatch) -> None:
    with Aside() as aside:
        monkeypatch.setattr(aside, "_path", lambda _: "/dev/full")
        with pytest.raises(DataError, match="no room to set members of an archive aside") as caught:
            aside.put("x", b"x" * 100_000)
    assert "TMPDIR" in (caught.value.hint or "")
