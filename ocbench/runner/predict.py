"""Verb: a run and anybody's own pictures -> masks, overlays, reconstructions and slots of each.

What it writes into a folder: masks/NAME.png (labels, 8-bit grey, as `evaluate --save-labels` writes them),
overlays/NAME.png (the segments upon the picture), reconstructions/NAME.png where the model draws, slots/NAME.png (a
column a slot: what it draws, its mask, where it looked), sheet.png (the first pictures) and predictions.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from ocbench import imaging, storage
from ocbench.errors import DataError, UsageError
from ocbench.panels import as_bytes, overlay, slot_pictures, slot_rows, write_rows
from ocbench.runner.checkpoint import weights_digest
from ocbench.runner.outcomes import device_of, images_of, predict, weights_of
from ocbench.runner.restore import load_model
from ocbench.runs import RunConfig, write_json
from ocbench.scene import Scene, labels_of

SCHEMA = "ocbench.predictions/1"
RECORD = "predictions.json"
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")
OVERLAY_SIDE = 384  # pixels, at least: the picture itself is sharper than what the model sees
SHEET = 12  # pictures on sheet.png
ON_SHEET = ("overlays", "reconstructions")
Fit = Literal["crop", "pad", "none"]
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Options:
    """How to predict."""

    fit: Fit = "crop"  # how a picture becomes one of the model's size: `imaging.fit_picture`
    batch_size: int = 16
    seed: int = 0
    masks: str | None = None  # one of the model's alternative sets of masks
    checkpoint: str = "final"
    device: str = "auto"
    skip_unreadable: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Pictures:
    """The pictures to predict, all of which can be read, and those that cannot."""

    paths: tuple[Path, ...]
    unreadable: tuple[str, ...]  # why, a line each


def find_pictures(where: str | Path, size: tuple[int, int], options: Options, limit: int | None = None) -> Pictures:
    """The pictures of a folder, by name, or the one at that path, each decoded once to see that it can be read.

    DataError where there are none, where two would be written under one name, where one cannot be read (unless
    `skip_unreadable`), or where one is not of the model's `size` under `fit` none.
    """
    place = Path(where)
    if not place.exists():
        raise DataError(f"no pictures at '{where}'", expected="a folder of pictures, or one picture")
    found = sorted(place.iterdir()) if place.is_dir() else [place]
    paths = [path for path in found if path.suffix.lower() in ENDINGS and path.is_file()][:limit]
    if not paths:
        raise DataError(f"no pictures in '{where}'", expected=f"files {', '.join(ENDINGS)}")
    names: dict[str, Path] = {}
    readable, faults = [], []
    for path in paths:
        if (other := names.setdefault(path.stem, path)) != path:
            raise DataError(f"'{where}' has two of '{path.stem}'", found=f"'{other.name}' and '{path.name}'")
        try:
            image = _decoded(path)
        except DataError as wrong:
            faults.append(f"{wrong.message}: {wrong.found}" if wrong.found else wrong.message)
            continue
        if options.fit == "none":
            imaging.fit_picture(image, size, "none")
        readable.append(path)
    if faults and not options.skip_unreadable:
        raise DataError(
            f"{len(faults):,} of {len(paths):,} pictures cannot be read", found="; ".join(faults[:5]),
            hint="--skip-unreadable goes on without them",
        )  # fmt: skip
    if not readable:
        raise DataError(f"none of {len(paths):,} pictures in '{where}' can be read", found="; ".join(faults[:5]))
    return Pictures(tuple(readable), tuple(faults))


def _decoded(path: Path) -> np.ndarray:
    return imaging.decode_image(path.read_bytes(), f"'{path}'", upright=True)


def predict_pictures(
    run_dir: Path, pictures: Pictures, out: Path, options: Options = Options(), progress: Progress | None = None
) -> list[dict[str, Any]]:
    """Writes the folder `out`, whole or not at all, and returns its record of each picture.

    UsageError where `out` holds anything but predictions that `overwrite` allows to replace.
    """
    run = RunConfig.load(run_dir)
    _refuse(out, options.overwrite)
    model = load_model(run_dir, checkpoint_name=options.checkpoint, device_name=options.device)
    records: list[dict[str, Any]] = []
    sheet: list[Mapping[str, np.ndarray]] = []
    with storage.replacing_folder(str(out)) as beside:
        for path, large, drawn, facts in _drawn(model, run, pictures.paths, options):
            for kind, picture in drawn.items():
                encoded = imaging.encode_labels(picture) if kind == "masks" else imaging.encode_image(picture, "png")
                storage.make_folder(f"{beside}/{kind}")
                storage.write_atomic(f"{beside}/{kind}/{path.stem}.png", encoded)
            records.append({"picture": path.name, **facts})
            if len(sheet) < SHEET:
                sheet.append({"pictures": large} | {kind: drawn[kind] for kind in ON_SHEET if kind in drawn})
            if progress is not None:
                progress(len(records), len(pictures.paths), "")
        names = [path.name for path in pictures.paths[:SHEET]]
        write_rows(Path(beside) / "sheet.png", {kind: [row[kind] for row in sheet] for kind in sheet[0]}, names)
        write_json(Path(beside) / RECORD, {
            "schema": SCHEMA, "run": str(run_dir), "weights_digest": weights_digest(model), "size": list(run.size),
            "options": asdict(options), "unreadable": list(pictures.unreadable), "pictures": records,
        })  # fmt: skip
    return records


def _refuse(out: Path, overwrite: bool) -> None:
    """Nothing of the user's is replaced: only a folder that this verb wrote, and only where that was asked for."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    ours = (out / RECORD).is_file()
    if not (ours and overwrite):
        raise UsageError(
            f"'{out}' is not empty", expected="a new folder", found="other predictions" if ours else "other files",
            hint="--overwrite replaces them" if ours else "--out DIR",
        )  # fmt: skip


def _drawn(
    model: nn.Module, run: RunConfig, paths: Sequence[Path], options: Options
) -> Iterator[tuple[Path, np.ndarray, dict[str, np.ndarray], dict[str, Any]]]:
    """For each picture: itself as the model sees it, but sharper; its drawings by folder; what its record says."""
    height, width = run.size
    empty = np.zeros((height, width), np.uint8)
    times = -(-OVERLAY_SIDE // max(run.size))
    for start in range(0, len(paths), options.batch_size):
        batch = paths[start : start + options.batch_size]
        originals = [_decoded(path) for path in batch]
        scenes = [
            Scene(path.stem, imaging.fit_picture(original, run.size, options.fit), empty)
            for path, original in zip(batch, originals, strict=True)
        ]
        found = predict(model, images_of(scenes, device_of(model)), options.seed, start, detail=True)
        weights = weights_of(found, options.masks)
        for place, (path, scene, original) in enumerate(zip(batch, scenes, originals, strict=True)):
            slots = {
                name: value[place].float().cpu().numpy()
                for name, value in (("layers", found.layers), ("attention", found.attention))
                if value is not None and value.shape[1] == weights.shape[1]
            }
            soft = weights[place].float().cpu().numpy()
            large = scene.image
            if options.fit != "none":
                large = imaging.fit_picture(original, (times * height, times * width), options.fit)
            rebuilt = found.reconstruction
            drawn = _drawings(soft, slots, large, None if rebuilt is None else rebuilt[place], run.has_background)
            yield path, large, drawn, _facts(drawn["masks"], _background(drawn["masks"], run.has_background), original)


def _drawings(
    soft: np.ndarray, slots: Mapping[str, np.ndarray], large: np.ndarray, rebuilt: torch.Tensor | None, ground: bool
) -> dict[str, np.ndarray]:
    """Folder -> uint8 picture, of soft masks float32 [S, H, W] and the picture itself, uint8, perhaps larger."""
    labels = labels_of(soft)
    drawn = {"masks": labels, "overlays": overlay(large, labels, _background(labels, ground))}
    if rebuilt is not None:
        drawn["reconstructions"] = as_bytes(rebuilt.float().cpu().numpy().transpose(1, 2, 0))
    rows = slot_pictures(soft, slots.get("layers"), slots.get("attention"))
    return drawn | {"slots": slot_rows(list(rows.values()))}


def _background(labels: np.ndarray, ground: bool) -> int:
    """The label that is left untinted: slot 0 where it is the background, else the largest segment."""
    return 0 if ground else int(np.bincount(labels.ravel()).argmax())


def _facts(labels: np.ndarray, background: int, original: np.ndarray) -> dict[str, Any]:
    counts = np.bincount(labels.ravel())
    live = [int(label) for label in np.flatnonzero(counts) if label != background]
    return {
        "size": list(original.shape[:2]), "segments": live,
        "foreground": round(1 - float(counts[background]) / labels.size, 4),
    }  # fmt: skip
