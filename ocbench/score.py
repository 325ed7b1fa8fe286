"""Scores of label maps made anywhere; no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ocbench import registry
from ocbench.errors import DataError, UsageError
from ocbench.scene import Outcome, Scene
from ocbench.scoring import DEFAULT_METRICS, pooled, scores_of


def score_scene(
    mask: np.ndarray,
    labels: np.ndarray,
    image: np.ndarray | None = None,
    reconstruction: np.ndarray | None = None,
    metrics: Sequence[str] | None = None,
) -> dict[str, float]:
    """The scores of one scene by metric name; `metrics` None means the metrics of the published tables.

    `mask` and `labels`: integer [H, W], values 0..255; mask 0 is the background. `image`: uint8 [H, W, 3] RGB, or float
    in [0, 1]; `reconstruction`: float [H, W, 3] in that unit, never clamped. `mse` needs both and is left out without
    them. DataError where shapes, types or ranges are not as said.
    """
    true, predicted = _label_map(mask, "mask"), _label_map(labels, "labels")
    if true.shape != predicted.shape:
        raise DataError("'labels' and 'mask' differ in size", expected=f"{true.shape}", found=f"{predicted.shape}")
    picture, rebuilt = _pictures(image, reconstruction, (*true.shape, 3))
    outcome = Outcome(Scene("scene", picture, true), predicted, rebuilt)
    chosen = [registry.metric(name) for name in metrics or DEFAULT_METRICS]
    found = scores_of([outcome], chosen)[0]
    return {
        metric.name: found[metric.name] if metric.pool is None else pooled(metric, [found[metric.name]])
        for metric in chosen
        if metric.name in found
    }


def _label_map(array: np.ndarray, name: str) -> np.ndarray:
    """The label map as uint8, or DataError where it is none."""
    array = np.asarray(array)
    found = f"{array.dtype} {array.shape}"
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "uib":
        raise DataError(f"'{name}' is not a label map", expected="integers [H, W]", found=found)
    if array.min() < 0 or array.max() > 255:
        raise DataError(f"'{name}' has labels out of range", expected="0..255", found=f"{array.min()}..{array.max()}")
    return array.astype(np.uint8)


def _pictures(
    image: np.ndarray | None, reconstruction: np.ndarray | None, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray | None]:
    """The image as uint8 [H, W, 3], black where none is given, and the reconstruction as float32 [H, W, 3] or None."""
    if image is None:
        if reconstruction is not None:
            raise UsageError("'reconstruction' without 'image'", expected="both, or neither")
        return np.zeros(shape, np.uint8), None
    picture = _picture(image, "image", shape, "uint8 or float")
    rebuilt = None
    if reconstruction is not None:
        rebuilt = _picture(reconstruction, "reconstruction", shape, "float").astype(np.float32)
    if picture.dtype == np.uint8:
        return picture, rebuilt
    if not (picture.min() >= 0 and picture.max() <= 1):
        raise DataError("'image' is out of range", expected="0..1", found=f"{picture.min():g}..{picture.max():g}")
    rounded = np.rint(255 * picture).astype(np.uint8)
    if rebuilt is not None:  # shifted by what rounding changed: the difference stays what it was
        rebuilt -= (picture - rounded / 255).astype(np.float32)
    return rounded, rebuilt


def _picture(array: np.ndarray, name: str, shape: tuple[int, ...], types: str) -> np.ndarray:
    """The picture itself, or DataError where its type is none of `types` or its shape another."""
    array = np.asarray(array)
    kind = "float" if array.dtype.kind == "f" else str(array.dtype)
    if array.shape != shape or kind not in types.split(" or "):
        expected, found = f"{types} {shape}", f"{array.dtype} {array.shape}"
        raise DataError(f"'{name}' is no RGB picture of the mask's size", expected=expected, found=found)
    return array
