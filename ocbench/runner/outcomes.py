"""From scenes to outcomes: batches, predictions, and the arg-max in one place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ocbench.errors import PluginError, RunError, UnknownNameError
from ocbench.loading import as_floats
from ocbench.plugin import Prediction
from ocbench.scene import Outcome, Scene, labels_of


def outcomes(
    model: nn.Module,
    scenes: Iterable[Scene],
    device: torch.device,
    *,
    batch_size: int,
    seed: int = 0,
    masks: str | None = None,
) -> Iterator[Outcome]:
    """The outcome of every scene, in order; the model is put into eval mode.

    Before each batch torch is seeded from (seed, index of its first scene), so that a model that draws random numbers
    predicts the same however an evaluation was interrupted. `masks` names one of `Prediction.alternatives`.
    """
    model.eval()
    batch: list[Scene] = []
    start = 0
    for scene in scenes:
        batch.append(scene)
        if len(batch) == batch_size:
            yield from predicted(model, batch, device, seed, start, masks)
            start, batch = start + len(batch), []
    if batch:
        yield from predicted(model, batch, device, seed, start, masks)


def device_of(model: nn.Module) -> torch.device:
    """Where the model lies; the CPU, where it has no tensors."""
    return next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))


def weights_of(prediction: Prediction, masks: str | None) -> torch.Tensor:
    """float32 [B, S, H, W]: the model's own masks, or those of its alternatives that `masks` names."""
    if masks is None:
        return prediction.weights
    known = prediction.alternatives or {}
    if masks not in known:
        raise UnknownNameError("set of masks", masks, known)
    return known[masks]


def images_of(scenes: Iterable[Scene], device: torch.device) -> torch.Tensor:
    """float32 [B, 3, H, W] in [0, 1]."""
    stacked = np.stack([scene.image for scene in scenes]).transpose(0, 3, 1, 2)
    return as_floats(torch.from_numpy(np.ascontiguousarray(stacked)).to(device))


def predict(model: Any, images: torch.Tensor, seed: int, start: int, detail: bool = False) -> Prediction:
    """The model's prediction for a batch whose first scene has index `start`; PluginError where a shape is wrong."""
    digest = hashlib.sha256(f"{seed}/{start}".encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:7], "big"))
    with torch.no_grad():
        prediction: Prediction = model.predict(images, detail=detail)
    _check_weights(prediction.weights, len(images), images.shape[2:])
    rebuilt = prediction.reconstruction
    if rebuilt is not None and rebuilt.shape != images.shape:
        raise _wrong_shape("reconstruction", list(images.shape), rebuilt)
    return prediction


def _check_weights(weights: torch.Tensor, batch: int, size: torch.Size) -> None:
    height, width = size
    slots = weights.shape[1] if weights.ndim == 4 else 0
    if weights.shape != (batch, slots, height, width) or not 1 <= slots <= 255:
        raise _wrong_shape("weights", f"[{batch}, S, {height}, {width}], S from 1 to 255", weights)


def _wrong_shape(what: str, expected: object, found: torch.Tensor) -> PluginError:
    return PluginError(f"wrong shape of the predicted {what}", expected=f"{expected}", found=f"{list(found.shape)}")


def predicted(
    model: nn.Module, batch: list[Scene], device: torch.device, seed: int, start: int, masks: str | None
) -> Iterator[Outcome]:
    """The outcomes of one batch, whose first scene has index `start`, by a model in eval mode; see `outcomes`."""
    return _outcomes_of(predict(model, images_of(batch, device), seed, start), batch, masks)


def with_backgrounds(
    model: nn.Module,
    scenes: Sequence[Scene],
    device: torch.device,
    *,
    batch_size: int,
    has_background: bool,
    seed: int = 0,
    masks: str | None = None,
) -> Iterator[tuple[Outcome, np.ndarray | None]]:
    """As `outcomes`, each with what slot 0 draws, float32 [H, W, 3], where that is the background and is told."""
    model.eval()
    for start in range(0, len(scenes), batch_size):
        batch = list(scenes[start : start + batch_size])
        found = predict(model, images_of(batch, device), seed, start, detail=True)
        behind: Sequence[np.ndarray | None] = [None] * len(batch)
        if has_background and found.layers is not None:
            behind = list(found.layers[:, 0].float().cpu().numpy().transpose(0, 2, 3, 1))
        yield from zip(_outcomes_of(found, batch, masks), behind, strict=True)


def _outcomes_of(prediction: Prediction, batch: Sequence[Scene], masks: str | None) -> Iterator[Outcome]:
    weights = weights_of(prediction, masks)
    _check_weights(weights, len(batch), prediction.weights.shape[2:])
    soft = weights.float().cpu().numpy()
    bad = np.flatnonzero(~np.isfinite(soft).all(axis=(1, 2, 3)))
    if len(bad):  # the arg-max of such weights would be scored as if it meant something
        raise RunError("the predicted weights are not finite", found=f"scene '{batch[bad[0]].key}'")
    labels = [labels_of(each) for each in soft]
    rebuilt = prediction.reconstruction
    pictures = None if rebuilt is None else rebuilt.float().cpu().numpy().transpose(0, 2, 3, 1)
    for i, scene in enumerate(batch):
        yield Outcome(scene, labels[i], None if pictures is None else pictures[i], _confidences(soft[i], labels[i]))


def _confidences(weights: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float32 [P]: the mean winning weight of each predicted segment, 0 where it is empty."""
    flat = labels.ravel()
    counts = np.bincount(flat)
    sums = np.bincount(flat, weights=weights.max(axis=0).ravel())
    return (sums / np.maximum(counts, 1)).astype(np.float32)
