"""Verb: one scene of a run as a picture: what the model makes of it, slot by slot, and of the scene with slots changed.

Dropping or moving a slot asks the model's optional `edit`: the quickest proof that a slot is an object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ocbench import registry
from ocbench.errors import DataError, UsageError
from ocbench.panels import as_bytes, coloured, places, slot_pictures, write_scene
from ocbench.plugin import Prediction
from ocbench.prepared import PreparedSplit, open_dataset, prepared_splits
from ocbench.runner.outcomes import device_of, images_of, predict
from ocbench.runner.restore import load_model
from ocbench.runs import RunConfig
from ocbench.scene import Outcome, Scene, labels_of


@dataclass(frozen=True)
class Drawn:
    """What was drawn."""

    split: str  # where the scene is
    slots: tuple[str, ...]  # a line a slot that wins pixels


def draw_scene(
    run_dir: Path,
    key: str,
    out: Path,
    *,
    data_dir: str,
    split: str | None = None,
    drop: Sequence[int] = (),
    move: Mapping[int, tuple[float, float]] | None = None,
    device: str = "auto",
) -> Drawn:
    """Writes the picture `out`.

    `move` gives (dx, dy) for a slot, in units of half an image side. DataError where no prepared split of the run's
    dataset has the scene; UsageError where the model cannot do what is asked.
    """
    run = RunConfig.load(run_dir)
    home, scene = _find(run, key, data_dir, split)
    model: Any = load_model(run_dir, device_name=device)
    images = images_of([scene], device_of(model))
    found = predict(model, images, 0, 0, detail=True)
    outcome = _outcome(scene, found)
    pictures = {"input": scene.image, **_pictures(outcome, "")}
    if drop or move:
        changed = _edited(model, run, images, drop, move or {})
        pictures |= _pictures(_outcome(scene, changed), ", changed")
    titles, rows = _slots(found, outcome)
    write_scene(out, pictures, titles, rows)
    return Drawn(home, tuple(title.replace("\n", "   ") for title in titles))


def _find(run: RunConfig, key: str, data_dir: str, split: str | None) -> tuple[str, Scene]:
    protocol = registry.dataset(run.dataset).protocol(run.protocol)
    names = [split] if split else prepared_splits(data_dir, run.dataset, protocol)
    opened: list[PreparedSplit] = [open_dataset(run.dataset, name, run.protocol, data_dir) for name in names]
    for each in opened:
        if key in each.keys:
            return each.name, each[each.keys.index(key)]
    there = ", ".join(each.name for each in opened) or f"no prepared split of {run.dataset}@{run.protocol}"
    raise DataError(
        f"no scene '{key}'", expected=f"a key such as '{opened[0].keys[0]}'" if opened else None, found=f"in {there}",
        hint="the .jsonl beside a score sheet lists keys",
    )  # fmt: skip


def _edited(
    model: Any, run: RunConfig, images: torch.Tensor, drop: Sequence[int], move: Mapping[int, tuple[float, float]]
) -> Prediction:
    if not hasattr(model, "edit"):
        raise UsageError(f"{run.model} cannot draw a scene with slots changed", expected="a model with `edit`")
    with torch.no_grad():
        changed: Prediction = model.edit(images, drop, move)
    return changed


def _outcome(scene: Scene, found: Prediction) -> Outcome:
    rebuilt = found.reconstruction
    picture = None if rebuilt is None else rebuilt[0].float().cpu().numpy().transpose(1, 2, 0)
    return Outcome(scene, labels_of(found.weights[0].float().cpu().numpy()), picture)


def _pictures(outcome: Outcome, changed: str) -> dict[str, np.ndarray]:
    """uint8 pictures by title."""
    true, predicted = places(outcome)
    found = {} if changed else {"truth": coloured(outcome.scene.mask, true)}
    found[f"prediction{changed}"] = coloured(outcome.labels, predicted)
    if outcome.reconstruction is not None:
        found[f"reconstruction{changed}"] = as_bytes(outcome.reconstruction)
    return found


def _slots(found: Prediction, outcome: Outcome) -> tuple[list[str], dict[str, np.ndarray]]:
    """The title of each slot, and rows of pictures [S, H, W, 3] by name."""
    soft, layers, attention = (
        None if value is None else value[0].float().cpu().numpy()
        for value in (found.weights, found.layers, found.attention)
    )
    assert soft is not None
    rows = slot_pictures(soft, layers, attention)
    counts = np.bincount(outcome.labels.ravel(), minlength=len(soft))
    titles = [f"slot {slot}\n{count / outcome.labels.size:.1%}" for slot, count in enumerate(counts)]
    if found.centres is not None:
        where = found.centres[0].float().cpu().numpy()
        titles = [f"{title} at {x:+.2f},{y:+.2f}" for title, (x, y) in zip(titles, where, strict=True)]
    return titles, rows
