"""Your own pictures: a plain folder of image and mask PNGs, read as a source with `--raw DIR`.

    DIR/images/NAME.png   DIR/masks/NAME.png   one folder, cut into test (the first 10 %), val (the next 10 %), train
    DIR/train/images/…    DIR/train/masks/…    or a folder for each of train, val and test, as many as you have

Instead of `images` and `masks`, the folders may be called `image` and `mask`, or `input` and `GT_masks`. An image and a
mask are a pair where their names are equal. Where not one name is on both sides, they are a pair where their names end
in the same number: `clevr_input_0000017.png`, `clevr_GT_mask_0000017.png`. Pairs are ordered by the image's name,
numbers in it by their value. Hidden files and those of another ending are passed over.

Images must be square, since a protocol has no place to cut that would suit every picture; their masks are of the same
size. Masks hold object numbers, one byte a pixel, as grey values or palette indices, and 0 is the background.

`Scene.meta`: image and mask, the names of the files. Keys hold the part, the name (other characters than letters,
digits, '-' and '_' replaced) and the place in the part.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ocbench import storage
from ocbench.datasets.faults import counted, few, refuse
from ocbench.errors import DataError, UnknownNameError
from ocbench.imaging import decode_image, decode_labels
from ocbench.scene import DatasetSpec, Part, Protocol, Scene, Split

PARTS = ("train", "val", "test")
NAMES = (("images", "masks"), ("image", "mask"), ("input", "GT_masks"))
LAYOUT = "images/NAME.png and masks/NAME.png, there or in train/, val/ and test/"
LONGEST_NAME = 60  # characters of a file's name that go into a key


@dataclass(frozen=True)
class Pairs:
    """The images and masks of one folder that belong together, in order, and those that are alone."""

    images: str  # folder
    masks: str
    names: tuple[tuple[str, str], ...]  # image, mask
    faults: tuple[str, ...]


def parts(source: str, partial: bool = False) -> dict[str, Part]:
    """The splits that are there; DataError for files without a partner, which are passed over with `partial`."""
    found = _parts(source)
    faults = {f"'{pairs.images}': {fault}": None for pairs, _ in found.values() for fault in pairs.faults}
    if not partial:
        refuse(
            list(faults),
            f"the images and masks in '{source}' do not pair",
            expected="one mask for each image, of equal name or with the same number at its end",
            hint="rename or remove them; or --partial to leave out what has no partner",
        )
    return {name: Part(len(place), seekable=True) for name, (_, place) in found.items() if place}


def _parts(source: str) -> dict[str, tuple[Pairs, range]]:
    """The pairs of each part, and which of them belong to it; DataError where nothing is to be found."""
    source = source.rstrip("/")
    whole = _pairs(source)
    split = {name: pairs for name in PARTS if (pairs := _pairs(f"{source}/{name}")) is not None}
    if whole and split:
        raise DataError(
            f"'{source}' holds pictures of its own beside the folders {', '.join(split)}",
            expected=f"either: {LAYOUT}",
            hint="move the one or the others away",
        )
    if whole:
        tenth = int(0.1 * len(whole.names))
        bounds = {"test": (0, tenth), "val": (tenth, 2 * tenth), "train": (2 * tenth, len(whole.names))}
        return {name: (whole, range(*bounds[name])) for name in PARTS}
    if not split:
        lies = few(storage.folders(source))
        raise DataError(
            f"no folders of images and masks in '{source}'",
            expected=LAYOUT,
            found=f"the folders {', '.join(lies)}" if lies else "no folder",
            hint="place the pictures there, or name another folder: --raw DIR",
        )
    return {name: (pairs, range(len(pairs.names))) for name, pairs in split.items()}


def _pairs(folder: str) -> Pairs | None:
    """What lies in the first pair of folders that is there; None where there is none."""
    for images, masks in ((f"{folder}/{image}", f"{folder}/{mask}") for image, mask in NAMES):
        if storage.exists(images) and storage.exists(masks):
            ours, theirs = _pictures(images), _pictures(masks)
            if not ours:
                raise DataError(f"no PNG in '{images}'", expected=f"pictures as {LAYOUT}")
            return Pairs(images, masks, *_paired(ours, theirs))
    return None


def _pictures(folder: str) -> list[str]:
    names = next(storage.walk(folder), (folder, []))[1]
    return sorted((name for name in names if name.lower().endswith(".png") and name[0] != "."), key=_natural)


def _natural(name: str) -> tuple[Any, str]:
    """What orders names with the numbers in them by their value."""
    return [int(piece) if piece.isdecimal() else piece for piece in re.split(r"(\d+)", name)], name


def _paired(images: Sequence[str], masks: Sequence[str]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """The pairs in the order of the images, and a line for each kind of fault."""
    by_name = not {_stem(name) for name in images}.isdisjoint(_stem(name) for name in masks)
    mark: Callable[[str], Any] = _stem if by_name else _number
    known = {mark(name): name for name in masks}
    mine = Counter(mark(name) for name in images)
    theirs = Counter(mark(name) for name in masks)
    faults = (
        *counted("images without a mask", [name for name in images if mark(name) not in theirs]),
        *counted("masks without an image", [name for name in masks if mark(name) not in mine]),
        *counted("images that claim one mask", [name for name in images if mine[mark(name)] > 1]),
        *counted("masks that claim one image", [name for name in masks if theirs[mark(name)] > 1]),
    )
    once = [name for name in images if mine[mark(name)] == theirs[mark(name)] == 1]
    return tuple((name, known[mark(name)]) for name in once), faults


def _stem(name: str) -> str:
    return name[: -len(".png")]


def _number(name: str) -> int | str:
    """The number that a name ends in, or the name, where it ends in none."""
    match = re.search(r"(\d+)$", _stem(name))
    return int(match[1]) if match else _stem(name)


def read(source: str, part: str, start: int, stop: int) -> Iterator[Scene]:
    """The scenes of [start, stop) of a part, in order, at their own size."""
    if part not in PARTS:
        raise UnknownNameError("part of folder", part, PARTS)
    pairs, place = _parts(source).get(part, (None, range(0)))
    if pairs is None:
        raise DataError(f"no folder '{part}' in '{source}'", expected=LAYOUT)
    for index, (image, mask) in enumerate(pairs.names[place.start : place.stop][start:stop], start):
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", _stem(image))[:LONGEST_NAME]
        yield _scene(f"folder-{part}-{name}-{index:06d}", f"{pairs.images}/{image}", f"{pairs.masks}/{mask}")


def _scene(key: str, image_path: str, mask_path: str) -> Scene:
    image = decode_image(storage.read_bytes(image_path), f"'{image_path}'")
    height, width = image.shape[:2]
    if height != width:
        raise DataError(
            f"the picture '{image_path}' is not square",
            expected="as many rows as columns",
            found=f"{width}x{height}",
            hint="crop or pad pictures and masks to squares first, the same for both",
        )
    mask = decode_labels(storage.read_bytes(mask_path), f"'{mask_path}'")
    if mask.shape != image.shape[:2]:
        raise DataError(
            f"the mask '{mask_path}' has another size than its picture",
            expected=f"{width}x{height}",
            found=f"{mask.shape[1]}x{mask.shape[0]}",
        )
    meta = {"image": image_path.rpartition("/")[2], "mask": mask_path.rpartition("/")[2]}
    return Scene(key, image, mask, meta)


SQUARE_128 = Protocol(
    name="128",
    version=1,
    size=(128, 128),
    max_objects=10,
    splits=tuple(Split(name, name) for name in PARTS),
    summary="the whole picture at 128x128, up to 10 objects",
)
DATASET = DatasetSpec(
    name="folder",
    title="Your own pictures",
    citation="whoever made the pictures",
    license="that of the pictures",
    protocols=(
        SQUARE_128,
        replace(SQUARE_128, name="64", size=(64, 64), summary="the whole picture at 64x64, up to 10 objects"),
        replace(SQUARE_128, name="128-k32", max_objects=32, summary="as 128, but up to 32 objects"),
    ),
    parts=parts,
    read=read,
)
