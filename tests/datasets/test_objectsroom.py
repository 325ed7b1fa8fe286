"""ObjectsRoom: labels and background, the files and their channels, the repair of walls, every bad source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tfrecord_sources as sources

from ocbench import jobs, open_dataset
from ocbench.datasets import objectsroom
from ocbench.errors import DataError, UnknownNameError
from ocbench.scene import Part, Scene

COUNTS = {"train": 20, "empty_room": 3, "six_objects": 4, "identical_color": 5}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("objectsroom")
    for variant, count in COUNTS.items():
        sources.write_room(folder, variant, count)
    return folder


def scenes(source: Path, part: str, start: int = 0, stop: int = 99, **reading: object) -> list[Scene]:
    return list(objectsroom.read(str(source), part, start, stop, **reading))


def test_what_lies_there(raw: Path, tmp_path: Path) -> None:
    small = {part: Part(count, seekable=False) for part, count in COUNTS.items() if part != "train"}
    assert objectsroom.parts(str(raw)) == small | {"train": Part(None, seekable=False, expected=1_000_000)}
    assert objectsroom.parts(str(raw), partial=True)["train"].scenes == 20
    sources.write_room(tmp_path, "six_objects", 2, "objects_room_objects_room_test_six_objects.tfrecords")
    assert objectsroom.parts(str(tmp_path)) == {"six_objects": Part(2, seekable=False)}


@pytest.mark.parametrize("part", COUNTS)
def test_objects_count_from_1_and_four_channels_are_background(raw: Path, part: str) -> None:
    found = scenes(raw, part)
    assert [scene.key for scene in found] == [f"objectsroom-{part}-{index:06d}" for index in range(COUNTS[part])]
    for index, scene in enumerate(found):
        features = sources.room_scene(part, index)
        channel = features["mask"][..., 0].argmax(axis=0)
        assert np.array_equal(scene.image, features["image"])
        assert np.array_equal(scene.mask, np.maximum(channel.astype(int) - 3, 0))
        assert np.array_equal(scene.background_parts, np.where(channel > 3, 0, channel))
        assert scene.meta["num_objects"] == scene.mask.max()
        assert "loose_wall" not in scene.meta


def test_the_background_may_be_kept_apart(raw: Path) -> None:
    (scene,) = scenes(raw, "train", 2, 3, background="separate")
    assert np.array_equal(scene.mask, sources.room_scene("train", 2)["mask"][..., 0].argmax(axis=0))
    protocol = objectsroom.DATASET.protocol("separate-background")
    assert protocol.max_objects == 6
    assert protocol.split("six_objects").max_objects == 9


def loose() -> np.ndarray:
    """Label 3 in the middle of the floor: an object that took the place of the second half of the wall."""
    labels = np.zeros((64, 64), np.uint8)
    labels[40:] = 1
    labels[20:40] = 2
    labels[45:55, 20:30] = 3
    return labels


def test_a_wall_that_touches_no_side_is_flagged(tmp_path: Path) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    room = {"image": image, "mask": sources.one_hot(loose(), 7)}
    sources.write(tmp_path / objectsroom.FILES["train"], [room])
    (scene,) = scenes(tmp_path, "train")
    assert scene.meta["loose_wall"] is True
    assert scene.mask.max() == 0
    (repaired,) = scenes(tmp_path, "train", background_fix=True)
    assert repaired.meta["num_objects"] == 1
    assert np.array_equal(repaired.mask, np.where(loose() == 3, 1, 0))


def painted(*areas: tuple[int, slice, slice]) -> np.ndarray:
    labels = np.zeros((64, 64), np.uint8)
    labels[40:] = 1
    for label, rows, columns in areas:
        labels[rows, columns] = label
    return labels


ALL, WALL = slice(None), slice(20, 40)
HALVES = ((2, WALL, slice(0, 30)), (3, WALL, slice(30, None)))
THING = (4, slice(50, 60), slice(5, 15))


@pytest.mark.parametrize(
    ("labels", "moved"),
    [
        (painted(*HALVES, THING), False),  # two halves side by side
        (painted((2, WALL, ALL), THING, (3, slice(30, 40), slice(20, 30))), True),  # the wall above it
        (painted((2, WALL, ALL), THING, (3, slice(10, 20), slice(20, 30))), True),  # the wall below it
        (painted((2, WALL, ALL), THING, (3, slice(38, 40), slice(20, 22))), False),  # spans of two are too short
        (painted(THING, (3, slice(44, 50), slice(30, 40))), True),  # floor at both sides
        (painted(THING, (3, slice(20, 40), slice(0, 30))), False),  # sky to its right, but at the left side
        (painted((2, WALL, slice(0, 20)), THING, (3, WALL, slice(20, 40))), True),  # sky to its right, away from it
        (painted((2, WALL, slice(50, None)), THING, (3, WALL, slice(30, 50))), True),  # and the same mirrored
        (painted((2, WALL, slice(0, 30)), (6, *THING[1:]), (3, slice(44, 50), slice(30, 40))), False),  # no room
    ],
)  # fmt: skip
def test_the_repair_moves_up_what_does_not_look_like_a_wall(labels: np.ndarray, moved: bool) -> None:
    fixed = objectsroom.fixed(labels, objects=1)
    assert np.array_equal(fixed, np.where((labels >= 3) & moved, labels + 1, labels))


def test_without_an_object_the_highest_label_becomes_one() -> None:
    labels = painted(*HALVES)
    assert np.array_equal(objectsroom.fixed(labels, objects=0), np.where(labels == 3, 4, labels))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: sources.write(path, [sources.room_scene("six_objects", 0)]), "number of masks\n.*7 of 64"),
        (lambda path: sources.write(path, [sources.clevr_scene(0)]), "another dataset\n.*12,288.*\n.*as in clevr"),
        (lambda path: path.write_bytes(b"<html>") and None, "is no TFRecord file"),
    ],
)  # fmt: skip
def test_a_bad_file_is_told(tmp_path: Path, write: Callable[[Path], object], message: str) -> None:
    write(tmp_path / objectsroom.FILES["train"])
    with pytest.raises(DataError, match=message):
        scenes(tmp_path, "train")


def test_nothing_there_and_names_that_do_not_exist(tmp_path: Path) -> None:
    for source in (tmp_path / objectsroom.FILES["train"], tmp_path / "missing"):
        with pytest.raises(DataError, match=f"no raw ObjectsRoom under '{source}'"):
            objectsroom.parts(str(source))
    with pytest.raises(DataError, match=r"no raw ObjectsRoom under '.*'\n.*objects_room_train\.tfrecords"):
        objectsroom.parts(str(tmp_path))
    with pytest.raises(UnknownNameError, match="no part of objectsroom named 'rooms'"):
        objectsroom.read(str(tmp_path), "rooms", 0, 1)
    sources.write(tmp_path / objectsroom.FILES["empty_room"], [])
    with pytest.raises(DataError, match="holds no record"):
        objectsroom.parts(str(tmp_path))


def test_nothing_is_cropped_or_resized(raw: Path) -> None:
    (scene,) = scenes(raw, "train", 1, 2)
    fitted, lost = jobs.fit(scene, objectsroom.AST_PAPER)
    assert np.array_equal(fitted.image, scene.image)
    assert np.array_equal(fitted.mask, scene.mask)
    assert not lost


def test_from_the_command_line(ocbench: Callable, raw: Path, tmp_path: Path) -> None:
    words = ("--partial", "--executor", "local:1", "--splits", ",".join(COUNTS))
    ended = ocbench("prepare", "objectsroom", "--raw", raw, *words)
    assert ended.code == 0, ended.err
    for split, count in COUNTS.items():
        assert len(open_dataset("objectsroom", split, None, str(tmp_path / "data"))) == count
    assert ocbench("verify", "objectsroom", "--deep").code == 0
