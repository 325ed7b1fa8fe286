"""Files: whole or not there, on a full disk too; what killed processes leave; one set of names for local and remote."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from ocbench import storage
from ocbench.errors import DataError
from ocbench.formats.archive import members

FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    storage.write_atomic(str(path), b"one")
    with storage.replacing(str(path)) as file:
        file.write(b"two")
        file.flush()
        assert path.read_bytes() == b"one"
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_failure_midway_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"one")

    def write_half() -> None:
        with storage.replacing(str(path)) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["a.json"]


@FULL
def test_a_full_disk_is_named_and_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"one")
    os.symlink("/dev/full", storage.beside_of(str(path)))
    with pytest.raises(DataError, match=r"the disk is full: cannot write '.*a\.json'\n(.*\n)*.*MB free in"):
        storage.write_atomic(str(path), b"two" * 10_000)
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["a.json"]


def test_every_kind_of_failed_write_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot write"):
        storage.write_atomic(str(tmp_path / "missing" / "a.json"), b"x")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DataError, match="cannot write"):
        storage.make_folder(str(tmp_path / "file" / "folder"))
    quota = storage.write_error(str(tmp_path / "a"), OSError(errno.EDQUOT, "quota"), 2_000_000)
    assert "the disk is full" in quota.message
    assert "2.0 MB" in str(quota.expected)


def test_what_killed_processes_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    dead = int(gone.stdout)
    node = platform.node()
    strays = [f"000000.tar.{node}-{dead}.part", f"manifest.json.{node}-{dead}.part"]
    kept = [
        f"000001.tar.{node}-{os.getpid()}.part", f"000002.tar.{node}-{os.getppid()}.part",
        f"000003.tar.another-machine-{dead}.part", "000004.tar", f"notes.{node}-{dead}",
    ]  # fmt: skip
    for name in strays + kept:
        (tmp_path / name).touch()
    (tmp_path / f"folder.{node}-{dead}.part").mkdir()
    storage.clear_parts(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs the list of processes of Linux")
def test_what_a_process_left_goes_as_soon_as_it_has_ended(tmp_path: Path) -> None:
    """Its number is still taken while its parent has not asked for its end."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        (tmp_path / f"a.tar.{platform.node()}-{ended.pid}.part").touch()
        storage.clear_parts(str(tmp_path))
        assert os.listdir(tmp_path) == []


def test_reading_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    assert storage.read_bytes(str(path)) == b"content"
    assert storage.size_of(str(path)) == 7
    assert storage.sha256_of(str(path)) == hashlib.sha256(b"content").hexdigest()
    for read in (storage.read_bytes, storage.size_of, storage.sha256_of):
        for missing in (tmp_path / "b", tmp_path):
            with pytest.raises(DataError, match=f"cannot read '{missing}'"):
                read(str(missing))


def test_a_read_that_fails_midway_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __enter__(self) -> Broken:
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self) -> bytes:
            raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(storage, "open_binary", lambda path: Broken())
    with pytest.raises(DataError, match=r"cannot read 'disk'\n.*input/output error"):
        storage.read_bytes("disk")


def test_remote_files_have_the_same_words(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/storage-test/one/a": b"content", "/storage-test/b": b""})
    assert storage.is_remote("memory://storage-test")
    assert not storage.is_remote(str(tmp_path))
    assert storage.exists("memory://storage-test/one/a")
    assert not storage.exists("memory://storage-test/two")
    assert storage.read_bytes("memory://storage-test/one/a") == b"content"
    assert storage.size_of("memory://storage-test/one/a") == 7
    assert storage.sha256_of("memory://storage-test/one/a") == hashlib.sha256(b"content").hexdigest()
    assert dict(storage.walk("memory://storage-test")) == {
        "memory://storage-test": ["b"],
        "memory://storage-test/one": ["a"],
    }
    assert storage.names("memory://storage-test") == ["b", "one"]
    assert storage.names("memory://storage-test/two") == []
    with pytest.raises(DataError, match="cannot read 'memory://storage-test/c'"):
        storage.read_bytes("memory://storage-test/c")
    memory.rm("/storage-test", recursive=True)


@pytest.fixture
def bucket() -> Iterator[str]:
    yield "memory://storage-test"
    fsspec.filesystem("memory").rm("/storage-test", recursive=True)


def test_a_remote_file_is_there_once_it_is_whole(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    storage.make_folder(bucket)
    storage.clear_parts(bucket)
    with storage.replacing(f"{bucket}/a.json") as file:
        file.write(b"one")
        assert storage.names(bucket) == []
    assert storage.read_bytes(f"{bucket}/a.json") == b"one"
    with pytest.raises(ZeroDivisionError), storage.replacing(f"{bucket}/a.json") as file:
        file.write(b"half" * (1 // 0))
    assert storage.read_bytes(f"{bucket}/a.json") == b"one"
    storage.write_atomic(f"{bucket}/a.json", b"two")
    assert storage.read_bytes(f"{bucket}/a.json") == b"two"
    for _ in range(2):
        storage.remove(f"{bucket}/a.json")
    assert storage.names(bucket) == os.listdir(tmp_path) == []
    assert storage.free_space(bucket) > storage.free_space(str(tmp_path)) > 0
    storage.write_atomic(f"{bucket}/b", b"")


def test_a_store_that_gives_back_other_bytes_keeps_no_such_file(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(system: object, local: str, inner: str) -> None:
        fsspec.filesystem("memory").pipe(inner, Path(local).read_bytes()[:-1])

    storage.write_atomic(f"{bucket}/kept", b"kept")
    monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, "put_file", cut)
    with pytest.raises(DataError, match="'memory://storage-test/a' did not come back as it was written"):
        storage.write_atomic(f"{bucket}/a", b"content")
    assert storage.names(bucket) == ["kept"]


def test_a_connection_that_breaks_while_a_file_is_read_is_a_data_error(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(file: object, size: int) -> bytes:
        raise ZeroDivisionError("connection reset")

    storage.write_atomic(f"{bucket}/a", b"content")
    monkeypatch.setattr(fsspec.implementations.memory.MemoryFile, "read", broken, raising=False)
    with pytest.raises(
        DataError, match=r"cannot read 'memory://storage-test/a'\n.*ZeroDivisionError: connection reset"
    ):
        storage.read_bytes(f"{bucket}/a")
    with (
        storage.open_binary(f"{bucket}/a") as file,
        pytest.raises(DataError, match="'a' cannot be read: ZeroDivisionErr"),
    ):
        next(members(file, "a"))


def test_what_a_store_refuses_is_a_data_error(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores have errors of their own, which are no OSErrors."""

    def refuse(*words: object, **named: object) -> None:
        raise ZeroDivisionError("no credentials")

    storage.write_atomic(f"{bucket}/kept", b"kept")
    for name in ("put_file", "exists", "ls", "_open", "rm_file"):
        monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, name, refuse)
    for deed, ask in (
        ("write", lambda path: storage.write_atomic(path, b"")), ("look for", storage.exists),
        ("read", storage.read_bytes), ("remove", storage.remove), ("list", storage.names),
    ):  # fmt: skip
        with pytest.raises(DataError, match=rf"cannot {deed} 'memory://storage-test/a'\n.*ZeroDivisionError: no cred"):
            ask(f"{bucket}/a")
    monkeypatch.undo()


def test_an_unknown_scheme_is_a_data_error() -> None:
    for ask in (storage.exists, storage.read_bytes):
        with pytest.raises(DataError, match=r"cannot reach 'nowhere://x'\n(.*\n)*.*is the address right"):
            ask("nowhere://x")


def test_walk_goes_through_links_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").touch()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    found = list(storage.walk(str(tmp_path)))
    assert [name for _, names in found for name in names] == ["file"]
    assert list(storage.walk(str(tmp_path / "missing"))) == []


def test_a_folder_that_cannot_be_listed_is_a_data_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, "permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=f"cannot list '{tmp_path}'"):
        list(storage.walk(str(tmp_path)))


def test_remove_takes_files_folders_links_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    for name in ("folder", "link", "missing"):
        storage.remove(str(tmp_path / name))
    assert os.listdir(tmp_path) == ["kept"]
    assert os.listdir(tmp_path / "kept") == ["file"]
