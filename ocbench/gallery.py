"""The gallery of an evaluation on disk: which scenes it shows, their pictures, what is written beside them. No torch.

`<run>/gallery/<stem>/` holds `gallery.json` and, for scene N of it, `N-NAME.webp`: input, truth, prediction, error and,
where the model gives them, reconstruction; `layers`, `masks` and `attention` show all slots, row by row in one grid.
Pictures are lossless; every name is made here, never of a scene's key.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ocbench import imaging, storage
from ocbench.errors import RunError
from ocbench.panels import COLOURS, as_bytes, coloured, heat_maps, places
from ocbench.runs import read_json, write_json
from ocbench.scene import Outcome
from ocbench.slices import object_facts

SCHEMA = "ocbench.gallery/1"
RECORD = "gallery.json"
BY = "miou"  # what makes a scene good
Kind = Literal["best", "worst", "random"]
ERRORS = {"missed": (230, 159, 0), "false": (86, 180, 233), "confused": (204, 121, 167)}  # told apart by all eyes
NOT_SCORES = ("key", "objects", "segments", "flags", "per_object")  # of a row


@dataclass(frozen=True)
class Pick:
    """A scene of the gallery, and why it is there."""

    row: Mapping[str, Any]
    kind: Kind


@dataclass(frozen=True)
class Slot:
    """One slot in one scene."""

    slot: int
    pixels: int  # that it wins
    centre: tuple[float, float] | None = None  # x and y in [-1, 1], of the centres of the border pixels
    object: int | None = None  # the true id that it is paired with, by colour
    iou: float | None = None  # with that object


@dataclass(frozen=True)
class Entry:
    """One scene of a gallery."""

    key: str
    kind: Kind
    scores: Mapping[str, float]  # fractions, or in the metric's own unit; those that are finite
    objects: Sequence[Mapping[str, Any]]  # id, pixels, best_iou, colour, and the facts of `object_facts`
    slots: Sequence[Slot]
    pictures: Mapping[str, str]  # input, truth, prediction, error, reconstruction, layers, masks, attention -> file


@dataclass(frozen=True)
class Gallery:
    """The scenes of one evaluation that are shown."""

    size: tuple[int, int]  # (H, W) of a picture
    columns: int  # pictures a row, in the grids of layers and masks
    weights_digest: str  # of the model that drew them
    fingerprint: str  # of the data
    by: str | None  # the score by which best and worst were chosen; None where the rows have none, then all are random
    entries: Sequence[Entry] = field(default_factory=tuple)
    folder: Path | None = None  # where the pictures lie, once they do

    def picture(self, entry: Entry, name: str) -> np.ndarray:
        """uint8 [h, w, 3]; RunError where the file is missing, DataError where it is damaged."""
        assert self.folder is not None
        path = self.folder / entry.pictures[name]
        if not path.is_file():
            raise RunError(f"no picture '{path}'", hint="evaluate again with --overwrite")
        return imaging.decode_image(path.read_bytes(), f"'{path}'")


def choose(rows: Iterable[Mapping[str, Any]], count: int, seed: int, by: str = BY) -> tuple[list[Pick], str | None]:
    """`count` scenes, a third each random, best and worst (fewer where there are fewer), and the score that decided.

    The random ones are drawn first, from all scenes, so that two runs on the same data show the same. A scene whose
    score is NaN is neither good nor bad. Where no row has the score, all are random and it is None.
    """
    known = sorted(rows, key=lambda row: row["key"])
    ranked = [row for row in known if isinstance(row.get(by), float) and math.isfinite(row[by])]
    luck = count - 2 * (count // 3) if ranked else count
    drawn = np.random.default_rng(seed).permutation(len(known))[:luck].tolist()
    picks = [Pick(known[i], "random") for i in sorted(drawn)]
    shown = {pick.row["key"] for pick in picks}
    rest = sorted((row for row in ranked if row["key"] not in shown), key=lambda row: row[by])
    each = min(count // 3, len(rest))
    worst = rest[: each if len(rest) >= 2 * each else len(rest) // 2]
    best = rest[len(worst) :][::-1][:each]
    extremes = [Pick(row, "best") for row in best] + [Pick(row, "worst") for row in worst]
    return extremes + picks, by if ranked else None


def drawn_entry(
    number: int,
    pick: Pick,
    outcome: Outcome,
    weights: np.ndarray,
    layers: np.ndarray | None,
    centres: np.ndarray | None,
    attention: np.ndarray | None = None,
) -> tuple[Entry, dict[str, np.ndarray]]:
    """The entry of one scene and its pictures by name, uint8 [h, w, 3].

    `weights` are float32 [S, H, W], `layers` float32 [S, 3, H, W] in [0, 1], `centres` float32 [S, 2], `attention`
    float32 [S, h, w].
    """
    scene, (true, predicted) = outcome.scene, places(outcome)
    pictures = {
        "input": scene.image,
        "truth": coloured(scene.mask, true),
        "prediction": coloured(outcome.labels, predicted),
        "error": error_map(outcome, true, predicted),
        "masks": grid(np.repeat(weights[..., None], 3, axis=3)),
    }
    if outcome.reconstruction is not None:
        pictures["reconstruction"] = as_bytes(outcome.reconstruction)
    if layers is not None:
        pictures["layers"] = grid(layers.transpose(0, 2, 3, 1))
    if attention is not None:
        pictures["attention"] = grid(heat_maps(attention, scene.mask.shape))
    names = {name: f"{number:04d}-{name}.webp" for name in pictures}
    scores = {
        name: value
        for name, value in pick.row.items()
        if name not in NOT_SCORES and isinstance(value, float) and math.isfinite(value)
    }
    slots = _slots(outcome, len(weights), true, predicted, centres)
    return Entry(scene.key, pick.kind, scores, _objects(pick.row, outcome, true), slots, names), pictures


def error_map(outcome: Outcome, true: Mapping[int, int], predicted: Mapping[int, int]) -> np.ndarray:
    """uint8 [H, W, 3]: the picture in pale grey, and in colour what is missed, false, or another object's.

    `true` and `predicted` are `panels.places`: a pixel is right where both have the same place, or neither has one.
    """
    here, there = _placed(outcome.scene.mask, true), _placed(outcome.labels, predicted)
    grey = outcome.scene.image.mean(axis=2, keepdims=True) // 16 * 16 * 0.35 + 20  # few greys: small without loss
    found = np.repeat(grey, 3, axis=2).astype(np.uint8)
    found[(here >= 0) & (there < 0)] = ERRORS["missed"]
    found[(here < 0) & (there >= 0)] = ERRORS["false"]
    found[(here >= 0) & (there >= 0) & (here != there)] = ERRORS["confused"]
    return found


def _placed(labels: np.ndarray, found: Mapping[int, int]) -> np.ndarray:
    """int64 [H, W]: the place of each label, -1 where it has none."""
    table = np.full(256, -1, np.int64)
    for label, place in found.items():
        table[label] = place
    return table[labels]


def grid(pictures: np.ndarray) -> np.ndarray:
    """uint8 [rows H, columns W, 3] of float [S, H, W, 3] in [0, 1], row by row; places that are left over are black."""
    count, height, width, _ = pictures.shape
    columns = grid_columns(count)
    rows = -(-count // columns)
    padded = np.zeros((rows * columns, height, width, 3), np.uint8)
    padded[:count] = as_bytes(pictures)
    tiles = padded.reshape(rows, columns, height, width, 3)
    return np.ascontiguousarray(tiles.transpose(0, 2, 1, 3, 4)).reshape(rows * height, columns * width, 3)


def grid_columns(slots: int) -> int:
    """How many pictures of slots stand side by side."""
    return math.isqrt(max(slots - 1, 0)) + 1


def _objects(row: Mapping[str, Any], outcome: Outcome, true: Mapping[int, int]) -> list[dict[str, Any]]:
    facts = object_facts(outcome.scene)
    return [
        {**facts.get(one["id"], {}), **one, "colour": _hex(true.get(one["id"]))} for one in row.get("per_object", ())
    ]


def _hex(place: int | None) -> str | None:
    return None if place is None else "#{:02x}{:02x}{:02x}".format(*COLOURS[place % len(COLOURS)])


def _slots(
    outcome: Outcome, count: int, true: Mapping[int, int], predicted: Mapping[int, int], centres: np.ndarray | None
) -> tuple[Slot, ...]:
    table, by_place = outcome.table, {place: label for label, place in true.items()}
    found = []
    for slot in range(count):
        pixels = int(table[slot].sum()) if slot < len(table) else 0
        centre = None if centres is None else (round(float(centres[slot, 0]), 4), round(float(centres[slot, 1]), 4))
        label = by_place.get(predicted[slot]) if slot in predicted else None
        iou = None
        if label is not None:
            both = int(table[slot, label])
            iou = round(both / (pixels + int(table[:, label].sum()) - both), 6)
        found.append(Slot(slot, pixels, centre, label, iou))
    return tuple(found)


def write_gallery(folder: Path, gallery: Gallery, pictures: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Writes the folder beside its place and renames it, in place of one that is there; DataError on a full disk."""
    with storage.replacing_folder(str(folder)) as beside:
        for entry, drawn in zip(gallery.entries, pictures, strict=True):
            for name, picture in drawn.items():
                storage.write_atomic(f"{beside}/{entry.pictures[name]}", imaging.encode_image(picture))
        record = {name: value for name, value in asdict(gallery).items() if name != "folder"}
        write_json(Path(beside) / RECORD, {"schema": SCHEMA, **record})


def load_gallery(folder: Path) -> Gallery | None:
    """The gallery of that folder, None where there is none; RunError where it is damaged."""
    path = folder / RECORD
    if not path.is_file():
        return None
    record = read_json(path, SCHEMA, "gallery")
    try:
        entries = tuple(_entry(one) for one in record.pop("entries"))
        size = record.pop("size")
        return Gallery(size=(int(size[0]), int(size[1])), entries=entries, folder=folder, **record)
    except (TypeError, KeyError, ValueError, IndexError) as wrong:
        raise RunError(f"the gallery '{path}' is damaged", found=f"{wrong}", hint="evaluate again") from None


def _entry(record: dict[str, Any]) -> Entry:
    slots = tuple(Slot(**{**one, "centre": tuple(one["centre"]) if one["centre"] else None}) for one in record["slots"])
    for name in record["pictures"].values():
        if not re.fullmatch(r"[0-9a-z-]+\.webp", name):
            raise ValueError(f"picture '{name}' is no file name of a gallery")
    return Entry(**{**record, "slots": slots})
