"""OCLF's shards: the scenes of the TFRecord file that they were made of, in any order; every bad shard."""

from __future__ import annotations

import contextlib
import gzip
import json
import random as shuffling
import shutil
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import fsspec
import numpy as np
import pytest
import tfrecord_sources as sources

from ocbench.datasets import objectsroom, oclf
from ocbench.errors import DataError
from ocbench.scene import Part, Scene

COUNT = 20
ROOMS = [sources.room_scene("train", index) for index in range(COUNT)]
SHUFFLED = shuffling.Random(5).sample(range(COUNT), COUNT)


def rooms(source: Path, start: int = 0, stop: int = COUNT) -> Iterator[Scene]:
    return objectsroom.read(str(source), "train", start, stop)


def waiting(folder: Path) -> int:
    """Records that wait on disk, two features each."""
    return len([path for path in folder.rglob("*") if path.is_file()]) // 2


@pytest.mark.parametrize("order", [range(COUNT), SHUFFLED, range(COUNT)[::-1]], ids=["dealt", "shuffled", "reversed"])
@pytest.mark.parametrize(("start", "stop"), [(0, COUNT), (3, 11)])
def test_records_come_in_order_whatever_that_of_the_shards(
    tmp_path: Path, order: Sequence[int], start: int, stop: int
) -> None:
    sources.write_oclf(tmp_path, ROOMS, order=order)
    packed = sum(path.stat().st_size for path in tmp_path.rglob("*.tar"))
    assert objectsroom.parts(str(tmp_path)) == {"train": Part(None, False, expected=1_000_000, aside=packed)}
    assert objectsroom.parts(str(tmp_path), partial=True)["train"].scenes == COUNT
    found = list(rooms(tmp_path, start, stop))
    assert [scene.key for scene in found] == [f"objectsroom-train-{index:06d}" for index in range(start, stop)]
    for scene, features in zip(found, ROOMS[start:stop], strict=True):
        assert np.array_equal(scene.image, features["image"])


def test_shards_may_lie_in_the_folder_itself_and_a_tfrecord_file_beside_them_comes_first(tmp_path: Path) -> None:
    sources.write_shard(tmp_path / "shard-000000.tar", enumerate(ROOMS[:4]))
    assert len(list(rooms(tmp_path))) == 4
    sources.write_room(tmp_path, "train", 2)
    assert len(list(rooms(tmp_path))) == 2


def test_shards_may_be_remote(tmp_path: Path) -> None:
    sources.write_oclf(tmp_path, ROOMS)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path), "/ocbench-oclf", recursive=True)
    assert [scene.meta["index"] for scene in objectsroom.read("memory://ocbench-oclf", "train", 5, 9)] == [5, 6, 7, 8]
    memory.rm("/ocbench-oclf", recursive=True)


def test_little_waits_on_disk_where_each_folder_is_in_order_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "room"))
    (tmp_path / "room").mkdir()
    sources.write_oclf(tmp_path / "dealt", ROOMS)
    sources.write_oclf(tmp_path / "reversed", ROOMS, order=range(COUNT)[::-1])
    assert max(waiting(tmp_path / "room") for _ in rooms(tmp_path / "dealt")) <= 2
    scenes = rooms(tmp_path / "reversed")
    next(scenes)
    assert waiting(tmp_path / "room") > COUNT // 2
    scenes.close()
    assert not list((tmp_path / "room").iterdir())


def test_indices_that_never_come_are_passed_over(tmp_path: Path) -> None:
    sources.write_oclf(tmp_path, ROOMS)
    shutil.rmtree(tmp_path / "val")
    there = [scene.meta["index"] for scene in rooms(tmp_path)]
    assert there == sorted(there)
    assert set(range(COUNT)) - set(there) == {index for index in range(COUNT) if index * 7 % 6 == 2}


def test_shards_left_by_an_earlier_conversion_are_told_where_they_are_met(tmp_path: Path) -> None:
    sources.write_oclf(tmp_path, ROOMS)
    sources.write_shard(tmp_path / "train" / "shard-000099.tar", [(17, ROOMS[17])])
    assert len(list(rooms(tmp_path))) == COUNT  # all had come before
    with pytest.raises(DataError, match=r"record 17 comes twice\n.*shard-0.*shard-000099\.tar'\n.*earlier conversion"):
        list(rooms(tmp_path, 0, COUNT + 1))


IMAGE = ROOMS[0]["image"]
NPY = gzip.decompress(sources.npy_gz(IMAGE))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (sources.npy_gz(IMAGE)[:-30], r"'image' of record 0 in '.*' cannot be read\n.*\n.*no end of the GZIP stream"),
        (b"abc", r"cannot be read\n.*gzipped \.npy"),
        (sources.squeezed(b"no array"), r"cannot be read\n.*gzipped \.npy"),
        (bytes(oclf.LARGEST + 1), r"'0\.image\.npy\.gz' in '.*' is too large\n.*at most 4,194,304"),
        (sources.npy_gz(IMAGE.astype(np.int64)), r"first bytes .*<i8"),
        (sources.npy_gz(np.array([{}], dtype=object)), r"first bytes .*\|O"),
        (sources.squeezed(b"\x93NUMPY\3\0" + NPY[8:]), r"first bytes .*NUMPY\\x03"),
        (sources.squeezed(NPY[:-1]), "12,287 values in the place of 12,288"),
        (sources.squeezed(NPY.replace(b"64, 64, 3", b"((((((((")), r"first bytes .*\(\(\("),
        (sources.npy_gz(IMAGE[:9]), "record 0 in '.*' is of another dataset"),
        (sources.npy_gz(IMAGE.astype(np.float32)), "record 0 in '.*' lacks 'image'"),
    ],
)  # fmt: skip
def test_a_bad_feature_is_told(tmp_path: Path, image: bytes, message: str) -> None:
    sources.write_shard(tmp_path / "train" / "shard-000000.tar", [(0, ROOMS[0] | {"image": image})])
    with pytest.raises(DataError, match=message):
        list(rooms(tmp_path))


@pytest.mark.parametrize(
    "image", [sources.squeezed(NPY + bytes(1 << 25)), sources.squeezed(NPY.replace(b"(64, 64, 3)", b"(99999999,)"))]
)
def test_no_header_asks_for_memory(tmp_path: Path, image: bytes) -> None:
    sources.write_shard(tmp_path / "train" / "shard-000000.tar", [(0, ROOMS[0] | {"image": image})])
    tracemalloc.start()
    with pytest.raises(DataError, match="'image' of record 0"):
        list(rooms(tmp_path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * oclf.LARGEST


def test_a_missing_feature_a_cut_shard_and_one_without_records_are_told(tmp_path: Path) -> None:
    path = sources.write_shard(tmp_path / "train" / "shard-000000.tar", [(0, {"image": IMAGE})])
    with pytest.raises(DataError, match=r"record 0 in '.*' lacks 'mask'"):
        list(rooms(tmp_path))
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(DataError, match=r"archive '.*shard-000000\.tar' ends early"):
        list(rooms(tmp_path))
    sources.write_shard(path, [])
    with pytest.raises(DataError, match=f"'{tmp_path}' holds no record"):
        objectsroom.parts(str(tmp_path), partial=True)


def test_foreign_members_are_passed_over(tmp_path: Path) -> None:
    sources.write_shard(tmp_path / "shard-000000.tar", [("cat", ROOMS[1]), (0, ROOMS[0] | {"depth": IMAGE})])
    assert [scene.meta["index"] for scene in rooms(tmp_path)] == [0]


def assert_reads_or_is_refused(folder: Path, seed: int) -> None:
    random = np.random.default_rng([5, seed])
    path = sources.write_shard(folder / "shard-000000.tar", [(0, ROOMS[0])])
    data = bytearray(path.read_bytes())
    for _ in range(random.integers(1, 4)):
        data[int(random.integers(len(data)))] = int(random.integers(256))
    path.write_bytes(data[: int(random.integers(len(data)))] if seed % 3 == 0 else data)
    with contextlib.suppress(DataError):
        list(rooms(folder))


def test_a_hundred_damaged_shards_read_or_are_refused(tmp_path: Path) -> None:
    for seed in range(100):
        assert_reads_or_is_refused(tmp_path, seed)


@pytest.mark.slow
def test_two_thousand_damaged_shards_read_or_are_refused(tmp_path: Path) -> None:
    for seed in range(1000, 3000):
        assert_reads_or_is_refused(tmp_path, seed)


def test_shards_and_tfrecord_file_give_the_same_digests_from_the_command_line(
    ocbench: Callable, tmp_path: Path
) -> None:
    scenes = [sources.clevr_scene(index) for index in range(10)]
    sources.write_oclf(tmp_path / "oclf", scenes)
    file = sources.write(tmp_path / "renamed.tfrecords", scenes)
    digests = []
    for source in (tmp_path / "oclf", file):
        data = tmp_path / f"data-{len(digests)}"
        ended = ocbench("prepare", "clevr", "--partial", "--raw", source, "--executor", "local:1", "--data-dir", data)
        assert ended.code == 0, ended.err
        manifests = {path.parent.name: json.loads(path.read_text()) for path in data.rglob("manifest.json")}
        digests.append({split: [shard["sha256"] for shard in found["shards"]] for split, found in manifests.items()})
    assert set(digests[0]) == {"train", "val", "test"}
    assert digests[0] == digests[1]
