"""ObjectsRoom: a room of three background surfaces with up to 3 objects, and three test files of other rooms.

    train             1,000,000 scenes, 1 to 3 objects       train, val and test
    six_objects       about 1,000, exactly 6                  six_objects
    identical_color   about 1,000, 4 to 6 of one colour       identical_color
    empty_room        about 1,000, none                       empty_room

Source: the public files, GZIP TFRecords, as downloaded, in one folder; each can only be read from its beginning. For
the training file, shards as OCLF makes them (see oclf.py) are taken, too. The folder may also hold
object-centric-library's HDF5 file, the part "hdf5" (see oclib.py). Images are 64x64 RGB, masks one channel an entity:
sky, floor, two halves of the wall, then the objects. Rishabh Kabra et al.: "Multi-Object Datasets",
github.com/deepmind/multi-object-datasets, 2019.

The four background channels are label 0 and the objects follow from 1; which of the four it was is kept as
`Scene.background_parts`. `Scene.meta`: variant, index, num_objects, and `loose_wall` where the second half of the wall
touches neither side of the picture: perhaps an object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ocbench.datasets import multi_object, oclib
from ocbench.errors import DataError, UnknownNameError
from ocbench.scene import DatasetSpec, Download, Part, Protocol, Scene, Split

BASE = "https://storage.googleapis.com/multi-object-datasets/objects_room/"
LICENSE_NOTE = "the loader is Apache-2.0; no licence of the data is stated: github.com/deepmind/multi-object-datasets"

COUNT = 1_000_000  # scenes of the training file
SIZE = (64, 64)  # H, W
CHANNELS = {"train": 7, "empty_room": 4, "six_objects": 10, "identical_color": 10}
FILES = {part: f"objects_room_{'' if part == 'train' else 'test_'}{part}.tfrecords" for part in CHANNELS}
NAMES = {part: (name, f"objects_room_{name}") for part, name in FILES.items()}  # the second: a browser's
FEATURES = ("image", "mask")
BACKGROUND = 4  # channels: sky, floor, the two halves of the wall
SECOND_WALL = 3
SPAN = 3  # pixels of contact that tell a wall


def parts(source: str, partial: bool = False) -> dict[str, Part]:
    """What lies in the folder; the small files are counted, the training file only with `partial`."""
    found = oclib.parts(source, oclib.OBJECTSROOM)
    for part, records in multi_object.found(source, NAMES, FEATURES).items():
        found[part] = multi_object.counted(records, COUNT if part == "train" else None, partial)
    if not found:
        raise DataError(
            f"no raw ObjectsRoom under '{source}'",
            expected=f"'{FILES['train']}', '{FILES['six_objects']}' …, or for the protocol oclib "
            f"'{oclib.OBJECTSROOM.name}'",
            hint=f"place them there as they are, or: ocbench prepare objectsroom --download   (7 GB; {LICENSE_NOTE})",
        )
    return found


def read(
    source: str, part: str, start: int, stop: int, background: str = "merged", background_fix: bool = False
) -> Iterator[Scene]:
    """The scenes of [start, stop) in index order.

    `background` is "merged", or "separate": sky, floor and walls keep the labels 0 to 3, and objects follow from 4.
    `background_fix` repairs labels by the rule of object-centric-library (see `fixed`).
    """
    if part == oclib.PART:
        return oclib.read(source, oclib.OBJECTSROOM, start, stop)
    if part not in NAMES:
        raise UnknownNameError("part of objectsroom", part, [*NAMES, oclib.PART])
    separate = {"merged": False, "separate": True}[background]
    records = multi_object.examples(source, NAMES, FEATURES, part, start, stop)
    return (_scene(part, *record, separate, background_fix) for record in records)


def _scene(
    part: str, index: int, where: str, features: multi_object.Features, separate: bool, fix: bool
) -> Scene:  # fmt: skip
    image, masks = multi_object.image_and_masks(features, where, SIZE, CHANNELS[part])
    labels = multi_object.channel_of(masks)
    objects = int(masks[BACKGROUND:].any(axis=(1, 2)).sum())
    meta: dict[str, Any] = {"variant": part, "index": index}
    columns = np.flatnonzero((labels == SECOND_WALL).any(axis=0))
    if len(columns) and columns[0] > 0 and columns[-1] < SIZE[1] - 1:
        meta["loose_wall"] = True
    if fix:
        labels = fixed(labels, objects)
        objects = int(np.count_nonzero(np.bincount(labels.ravel())[BACKGROUND:]))
    meta["num_objects"] = objects
    last = np.uint8(BACKGROUND - 1)
    mask = labels if separate else np.maximum(labels, last) - last
    behind = np.where(labels > last, np.uint8(0), labels)
    return Scene(f"objectsroom-{part}-{index:06d}", image, mask, meta, behind)


def fixed(labels: np.ndarray, objects: int) -> np.ndarray:
    """uint8 [H, W] labels (0 sky, 1 floor, 2 and 3 walls, then objects) as object-centric-library repairs them.

    Without an object, the highest label becomes one. Otherwise, where label 3 does not look like a wall and there is
    room for one more, it and all above it are objects and move up.
    """
    highest = int(labels.max())
    if objects <= 0:
        return np.where(labels == highest, np.uint8(BACKGROUND), labels)
    if highest < 6 and not _looks_like_a_wall(labels):
        return np.where(labels >= SECOND_WALL, labels + np.uint8(1), labels)
    return labels


def _looks_like_a_wall(labels: np.ndarray) -> bool:
    """Whether label 3 may be half a wall: nothing but its other half beside it, neither above nor below it."""
    first, second, low = labels == 2, labels == SECOND_WALL, labels < 2
    stacked = any(
        _span((upper[:-1] & lower[1:]).any(axis=0)) >= SPAN for upper, lower in ((first, second), (second, first))
    )
    right = _span((second[:, :-1] & low[:, 1:]).any(axis=1)) >= SPAN
    left = _span((low[:, :-1] & second[:, 1:]).any(axis=1)) >= SPAN
    at_left, at_right = second[:, 0].any(), second[:, -1].any()
    return not (stacked or (right and left) or (right and not at_left) or (left and not at_right))


def _span(contacts: np.ndarray) -> int:
    """From the first to the last place of contact."""
    places = np.flatnonzero(contacts)
    return int(places[-1] - places[0]) + 1 if len(places) else 0


def _splits(merged: bool = True) -> tuple[Split, ...]:
    bounds = (("train", 20_000, COUNT), ("val", 10_000, 20_000), ("test", 0, 10_000))
    usual = [Split(name, "train", start, stop, scenes=stop - start) for name, start, stop in bounds]
    most = 6 if merged else 9
    extra = [Split(part, part, max_objects=most if CHANNELS[part] == 10 else None) for part in CHANNELS]
    return (*usual, *(split for split in extra if split.part != "train"))


AST_PAPER = Protocol(
    name="ast-paper", version=1, size=SIZE, max_objects=3, splits=_splits(),
    summary="AST-Seg with GENESIS' ranges: 64x64 as stored, the first four channels are background",
)  # fmt: skip
GENESIS = replace(
    AST_PAPER, name="genesis", subset=(320, 0), summary="GENESIS-V2: ast-paper, scored on 320 scenes drawn with seed 0"
)
SEPARATE = replace(
    AST_PAPER, name="separate-background", max_objects=6, splits=_splits(merged=False),
    reading={"background": "separate"},
    summary="sky, floor and two halves of the wall are segments of their own (0 to 3)",
)  # fmt: skip
FIX = replace(
    AST_PAPER, name="background-fix", reading={"background_fix": True},
    summary="ast-paper with object-centric-library's repair of walls that are objects",
)  # fmt: skip

DATASET = DatasetSpec(
    name="objectsroom",
    title="ObjectsRoom",
    protocols=(AST_PAPER, GENESIS, SEPARATE, FIX, oclib.protocol(oclib.OBJECTSROOM)),
    parts=parts,
    read=read,
    downloads=(
        *(
            Download(name, (BASE + name,), size, license_note=LICENSE_NOTE, parts=(part,))
            for part, name in FILES.items()
            for size in [7_000_000_000 if part == "train" else None]
        ),
        oclib.download(oclib.OBJECTSROOM),
    ),
    citation="Kabra et al.: Multi-Object Datasets, 2019",
    license=LICENSE_NOTE,
)
