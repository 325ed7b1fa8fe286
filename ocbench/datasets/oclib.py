"""The HDF5 files of object-centric-library: what the datasets that come in one of them share.

Each holds `image` uint8 [N, H, W, 3], `mask` [N, H, W, 1] (a label map, background included), `visibility`,
`num_actual_objects` and facts of each object, at the root, already cropped and resized; the dtypes vary. The file is
the part "hdf5" of its dataset and its scenes are known under the protocol `oclib` alone: whether their order is that of
the original distribution is not known, so their keys are their own. The pickled `-metadata.npy` beside it is never
opened. Andrea Dittadi et al.: "Generalization and Robustness Implications in Object-Centric Learning", ICML 2022.

`Scene.meta`: index, num_objects (visible in the stored picture), visibility and, where the file has them, the facts
that the library's loader uses, each a list with one value an entity, background included, coded as in the file.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ocbench import storage
from ocbench.errors import DataError
from ocbench.formats import hdf5
from ocbench.scene import Download, Part, Protocol, Scene, Split

BASE = "https://data-download.compute.dtu.dk/multi_object_datasets/"
PART = "hdf5"
USED = 100_000  # scenes of a larger file that the library uses
MOST_NUMBERS = 4  # of one fact of one entity: a colour with alpha


@dataclass(frozen=True)
class Source:
    """One public file."""

    dataset: str
    name: str
    scenes: int
    side: int  # pixels
    entities: int  # background included
    sha256: str
    background: int = 1  # labels of the background: the first ones
    facts: tuple[str, ...] = ()  # of each entity, kept where the file has them

    @property
    def max_objects(self) -> int:
        return self.entities - self.background


CLEVR = Source(
    "clevr", "clevr_10-full.hdf5", 100_000, side=128, entities=11, facts=("size", "material", "shape", "color"),
    sha256="419dd56bc7791541daaa246d4b60a00ab3d9c0b9a1330c8b8a015350130240c2",
)  # fmt: skip
CLEVRTEX = Source(
    "clevrtex", "clevrtex-full.hdf5", 50_000, side=128, entities=11, facts=("size", "material", "shape"),
    sha256="7e1a667a2587bc64509eeab96082c15c22d53105be2aa74495277db33f3f839f",
)  # fmt: skip
OBJECTSROOM = Source(
    "objectsroom", "objects_room_train-full.hdf5", 1_000_000, side=64, entities=7, background=4,
    sha256="5bddda03ebb48dca426071317c3d3ed1fb1a6683fd20c5fdf57a0a8c04bf2444",
)  # fmt: skip
SHAPESTACKS = Source(
    "shapestacks", "shapestacks-full.hdf5", 311_200, side=64, entities=7, facts=("size", "shape", "rgba"),
    sha256="09433b2e629744fc2aaa81d5f922d8b0509500bcb0e49d884675f4f8d52c1928",
)  # fmt: skip


def protocol(source: Source) -> Protocol:
    """The library's splits by position, train first, in pictures as stored."""
    used = min(source.scenes, USED)
    bounds = (("train", 0, used - 10_000), ("val", used - 10_000, used - 5_000), ("test", used - 5_000, used))
    return Protocol(
        name="oclib", version=1, size=(source.side, source.side), max_objects=source.max_objects,
        splits=tuple(Split(name, PART, start, stop, scenes=stop - start) for name, start, stop in bounds),
        summary=f"object-centric-library: '{source.name}' as stored, train first; not comparable with other protocols",
    )  # fmt: skip


def download(source: Source) -> Download:
    """Where the file is published."""
    urls, checksum = (BASE + source.name,), f"sha256:{source.sha256}"
    return Download(source.name, urls, checksum=checksum, license_note=f"licence: {BASE}LICENSE", parts=(PART,))


def parts(folder: str, source: Source) -> dict[str, Part]:
    """The part "hdf5" where the file lies in the folder or is the `folder` itself, else nothing.

    DataError where it is damaged or holds anything else.
    """
    path = _path(folder, source)
    if path is None:
        return {}
    with storage.open_binary(path) as file, hdf5.opened(file, path) as tables:
        scenes = _columns(tables, source)["image"].rows
    if scenes > source.scenes:
        raise DataError(f"'{path}' has too many scenes", expected=f"{source.scenes:,} at most", found=f"{scenes:,}")
    return {PART: Part(scenes, seekable=True, expected=source.scenes)}


def read(folder: str, source: Source, start: int, stop: int) -> Iterator[Scene]:
    """The scenes of [start, stop) in order; indices that are not there are passed over."""
    path = _path(folder, source)
    if path is None:
        raise DataError(f"no '{source.name}' in '{folder}'", hint=f"download it: {BASE}{source.name}")
    with storage.open_binary(path) as file, hdf5.opened(file, path) as tables:
        columns = _columns(tables, source)
        rows = zip(*(column.read(start, stop) for column in columns.values()), strict=True)
        for index, row in enumerate(rows, start):
            yield _scene(source, index, f"scene {index:,} of '{path}'", dict(zip(columns, row, strict=True)))


def _path(folder: str, source: Source) -> str | None:
    if posixpath.basename(folder) == source.name:
        return folder
    path = f"{folder.rstrip('/')}/{source.name}"
    return path if storage.exists(path) else None


def _columns(tables: hdf5.Tables, source: Source) -> dict[str, hdf5.Column]:
    """Image, mask, number of objects, visibility and facts by name; DataError where one lacks or has another length."""
    per_entity = [(source.entities,), *((source.entities, numbers) for numbers in range(1, MOST_NUMBERS + 1))]
    columns = {
        "image": tables.column("image", (source.side, source.side, 3)),
        "mask": tables.column("mask", (source.side, source.side, 1)),
        "num_actual_objects": tables.column("num_actual_objects", (1,)),
        "visibility": tables.column("visibility", *per_entity[:2]),
        **{name: tables.column(name, *per_entity) for name in source.facts if name in tables},
    }
    expected = columns["image"].rows
    for column in columns.values():
        if column.rows != expected:
            found = f"{column.rows:,}"
            raise DataError(f"{column.where} has another length than image", expected=f"{expected:,} rows", found=found)
    return columns


def _scene(source: Source, index: int, where: str, row: dict[str, np.ndarray]) -> Scene:
    labels = _bytes(row.pop("mask")[..., 0], source.entities - 1, f"the mask of {where}")
    last = source.background - 1  # the highest label of the background
    return Scene(
        f"{source.dataset}-oclib-{index:06d}",
        _bytes(row.pop("image"), 255, f"the image of {where}"),
        np.maximum(labels, last) - np.uint8(last),
        {"index": index, **_meta(source, where, row)},
        background_parts=np.where(labels > last, np.uint8(0), labels) if last else None,
    )


def _bytes(array: np.ndarray, highest: int, what: str) -> np.ndarray:
    """The array as uint8, once each value is a whole number of 0..highest; else DataError."""
    if array.dtype.kind == "f":
        if highest == 255 and 0 < array.max() <= 1:
            raise DataError(
                f"{what} was scaled to 0..1", expected="values 0..255", found=f"{array.dtype} up to {array.max():.3g}",
                hint="only the file as published is read: the original bytes cannot be told",
            )  # fmt: skip
        if not np.array_equal(array, np.floor(array)):
            raise DataError(f"{what} has values that are not whole", expected=f"whole values 0..{highest}")
    if array.min() < 0 or array.max() > highest:
        found = f"{array.min()} to {array.max()}"
        raise DataError(f"{what} has values out of range", expected=f"0..{highest}", found=found)
    return array.astype(np.uint8)


def _meta(source: Source, where: str, facts: dict[str, np.ndarray]) -> dict[str, Any]:
    count = facts.pop("num_actual_objects").item()
    # The library counts labels less its background labels, of which a scene may lack some: then it stores less than 0.
    if count not in range(1 - source.background, source.max_objects + 1):
        expected = f"0..{source.max_objects}"
        raise DataError(f"'num_actual_objects' of {where} is no number of objects", expected=expected, found=f"{count}")
    return {"num_objects": max(int(count), 0), **{name: _listed(values) for name, values in facts.items()}}


def _listed(values: np.ndarray) -> list[Any]:
    """One number, or one list of numbers, an entity, the same for every dtype: whole ones as int, NaN as None."""
    rows = [[_number(value) for value in row] for row in values.reshape(len(values), -1).tolist()]
    return rows if values.size > len(values) else [row[0] for row in rows]


def _number(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) else value
