"""The gallery of an evaluation: the chosen scenes predicted once more, with all that the model can show of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ocbench.gallery import Entry, Gallery, Pick, choose, drawn_entry, grid_columns, write_gallery
from ocbench.plugin import Prediction
from ocbench.prepared import PreparedSplit
from ocbench.runner.checkpoint import weights_digest
from ocbench.runner.outcomes import device_of, images_of, predict, weights_of
from ocbench.scene import Outcome, Scene, labels_of


def save_gallery(
    folder: Path,
    model: nn.Module,
    scenes: Sequence[Scene],
    rows: Iterable[Mapping[str, Any]],
    *,
    count: int,
    seed: int,
    masks: str | None = None,
    batch_size: int = 64,
) -> None:
    """Writes the best, worst and random scenes of an evaluation, `count` in all, into `folder`, whole or not at all.

    `rows` are the lines of its per-scene file. `seed`, `masks` and `batch_size` are those of the evaluation: a scene is
    predicted in the batch in which it was scored, so that a model that draws random numbers draws the same. The model
    is put into eval mode.
    """
    picks, by = choose(rows, count, seed)
    model.eval()
    made: dict[str, tuple[Entry, Mapping[str, Any]]] = {}
    wanted = {pick.row["key"]: (number, pick) for number, pick in enumerate(picks)}
    slots = 1
    for start, batch in _batches(scenes, batch_size, wanted):
        found = predict(model, images_of(batch, device_of(model)), seed, start, detail=True)
        weights = weights_of(found, masks)
        slots = weights.shape[1]
        for place, scene in enumerate(batch):
            if scene.key in wanted:
                made[scene.key] = _drawn(*wanted[scene.key], scene, found, weights, place)
    ordered = [made[pick.row["key"]] for pick in picks]
    gallery = Gallery(
        size=_size(scenes, ordered), columns=grid_columns(slots), weights_digest=weights_digest(model),
        fingerprint=scenes.fingerprint if isinstance(scenes, PreparedSplit) else "", by=by,
        entries=[entry for entry, _ in ordered],
    )  # fmt: skip
    write_gallery(folder, gallery, [pictures for _, pictures in ordered])


def _batches(
    scenes: Iterable[Scene], batch_size: int, wanted: Mapping[str, tuple[int, Pick]]
) -> Iterator[tuple[int, list[Scene]]]:
    """The batches of the evaluation that hold a wanted scene, each with the index of its first scene."""
    stream, start = iter(scenes), 0
    while batch := list(islice(stream, batch_size)):
        if any(scene.key in wanted for scene in batch):
            yield start, batch
        start += len(batch)


def _drawn(
    number: int, pick: Pick, scene: Scene, found: Prediction, weights: torch.Tensor, place: int
) -> tuple[Entry, Mapping[str, Any]]:
    soft = weights[place].float().cpu().numpy()

    def one(tensor: torch.Tensor | None) -> Any:
        return None if tensor is None else tensor[place].float().cpu().numpy()

    rebuilt = one(found.reconstruction)
    outcome = Outcome(scene, labels_of(soft), None if rebuilt is None else rebuilt.transpose(1, 2, 0))
    # what belongs to other masks than the scored ones, with another number of slots, is not shown
    layers, centres, attention = (
        value if value is not None and len(value) == len(soft) else None
        for value in (one(found.layers), one(found.centres), one(found.attention))
    )
    return drawn_entry(number, pick, outcome, soft, layers, centres, attention)


def _size(scenes: Sequence[Scene], made: Sequence[tuple[Entry, Mapping[str, Any]]]) -> tuple[int, int]:
    """(H, W)."""
    if isinstance(scenes, PreparedSplit):
        height, width = scenes.manifest.size
    else:
        height, width = made[0][1]["input"].shape[:2] if made else (0, 0)
    return int(height), int(width)
