"""The cache: every pixel once decoded, built anew when it is not whole, by any number of processes at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import dots
import numpy as np
import pytest

from ocbench import storage
from ocbench.cache import cache_folder, cached
from ocbench.errors import DataError
from ocbench.prepared import PreparedSplit


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> PreparedSplit:
    return dots.prepared(tmp_path_factory.mktemp("dots"))


@pytest.fixture
def split(whole: PreparedSplit, tmp_path: Path) -> PreparedSplit:
    """A copy to be damaged."""
    return PreparedSplit(shutil.copytree(whole.directory, tmp_path / "train"))


def images_of(split: PreparedSplit) -> np.ndarray:
    return np.stack([scene.image.transpose(2, 0, 1) for scene in split])


def file_of(split: PreparedSplit, cache: Path) -> Path:
    return cache / split.fingerprint / "images.npy"


def test_the_cache_holds_every_pixel_in_order(whole: PreparedSplit, tmp_path: Path) -> None:
    data = cached(whole, str(tmp_path))
    assert data.images.dtype == np.uint8
    assert np.array_equal(data.images, images_of(whole))
    assert data.keys == whole.keys
    assert os.listdir(tmp_path) == [whole.fingerprint]
    assert os.listdir(tmp_path / whole.fingerprint) == ["images.npy"]
    assert not data.images.flags.writeable


def test_it_is_built_once(whole: PreparedSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached(whole, str(tmp_path))
    monkeypatch.setattr(PreparedSplit, "__iter__", lambda self: pytest.fail("decoded again"))
    assert len(cached(whole, str(tmp_path)).images) == 16


def test_the_first_scenes_have_a_cache_of_their_own(whole: PreparedSplit, tmp_path: Path) -> None:
    assert len(cached(whole, str(tmp_path)).images) == 16
    assert np.array_equal(cached(whole.first(5), str(tmp_path)).images, images_of(whole)[:5])
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: os.truncate(file, file.stat().st_size - 1),
        lambda file: os.truncate(file, 10),
        lambda file: os.truncate(file, 0),
        lambda file: file.write_bytes(b"x" * 1000),
        lambda file: np.save(file, np.zeros((3, 3, 16, 16), np.uint8)),
        lambda file: np.save(file, np.zeros((16, 3, 16, 16), np.float32)),
    ],
)
def test_a_cache_that_is_not_whole_is_built_anew(whole: PreparedSplit, tmp_path: Path, damage) -> None:
    cached(whole, str(tmp_path))
    damage(file_of(whole, tmp_path))
    assert np.array_equal(cached(whole, str(tmp_path)).images, images_of(whole))


def test_a_damaged_shard_makes_no_cache(split: PreparedSplit, tmp_path: Path) -> None:
    os.truncate(f"{split.directory}/000004.tar", 3 * 1024)
    with pytest.raises(DataError, match=r"000004\.tar' ends early"):
        cached(split, str(tmp_path / "cache"))
    assert os.listdir(tmp_path / "cache" / split.fingerprint) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
def test_a_full_disk_is_an_error_and_no_signal(whole: PreparedSplit, tmp_path: Path) -> None:
    file = file_of(whole, tmp_path)
    file.parent.mkdir()
    os.symlink("/dev/full", storage.beside_of(str(file)))
    with pytest.raises(DataError, match=r"the disk is full: cannot write '.*images\.npy'"):
        cached(whole, str(tmp_path))
    assert os.listdir(file.parent) == []
    assert len(cached(whole, str(tmp_path)).images) == 16


def test_what_a_killed_build_left_is_cleared(whole: PreparedSplit, tmp_path: Path) -> None:
    folder = tmp_path / whole.fingerprint
    folder.mkdir()
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    own = storage.beside_of(str(folder / "images.npy"))
    Path(own.replace(f"-{os.getpid()}.", f"-{int(gone.stdout)}.")).touch()
    cached(whole, str(tmp_path))
    assert os.listdir(folder) == ["images.npy"]


def test_processes_that_build_at_once_do_each_other_no_harm(whole: PreparedSplit, tmp_path: Path) -> None:
    """Each maps what it has built, or what another has put in its place."""
    script = (
        "import sys, hashlib\n"
        "from ocbench.cache import cached\n"
        "from ocbench.prepared import PreparedSplit\n"
        "print(hashlib.sha256(cached(PreparedSplit(sys.argv[1]), sys.argv[2]).images.tobytes()).hexdigest())\n"
    )
    command = [sys.executable, "-c", script, whole.directory, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert len({process.communicate()[0] for process in processes}) == 1
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert np.array_equal(cached(whole, str(tmp_path)).images, images_of(whole))


def test_progress_is_told_now_and_then(whole: PreparedSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocbench.cache.REPORT_EVERY", 5)
    seen: list[tuple[int, int, str]] = []
    cached(whole, str(tmp_path), lambda *words: seen.append(words))
    assert seen == [(5, 16, "decoding"), (10, 16, "decoding"), (15, 16, "decoding")]


def test_the_cache_lies_on_a_local_disk_wherever_the_data_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCBENCH_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/someone/caches")
    assert cache_folder("data") == os.path.join("data", "cache")
    assert cache_folder("s3://bucket/data") == "/home/someone/caches/ocbench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder("s3://bucket/data") == os.path.expanduser("~/.cache/ocbench")
    monkeypatch.setenv("OCBENCH_CACHE", "/scratch")
    assert cache_folder("data") == cache_folder("s3://bucket/data") == "/scratch"
