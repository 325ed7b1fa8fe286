"""Scores of label maps made anywhere; no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ocbench import registry
from ocbench.errors import DataError
from ocbench.scene import Outcome, Scene
from ocbench.scoring import DEFAULT_METRICS, score_outcome


def score_scene(
    mask: np.ndarray,
    labels: np.ndarray,
    image: np.ndarray | None = None,
    reconstruction: np.ndarray | None = None,
    metrics: Sequence[str] | None = None,
) -> dict[str, float]:
    """The scores of one scene by metric name; `metrics` None means the metrics of the published tables.

    `mask` and `labels`: integer [H, W], values 0..255; mask 0 is the background. `image`: uint8 [H, W, 3] RGB, or float in
    [0, 1]; `reconstruction`: float [H, W, 3] in [0, 1], not clamped. Both are needed for `mse`, which is left out without
    them. DataError where shapes, types or ranges are not as said.
    """
    true, predicted = _label_map(mask, "mask"), _label_map(labels, "labels")
    if true.shape != predicted.shape:
        raise DataError(
            "'labels' and 'mask' differ in size", expected=f"{list(true.shape)}", found=f"{list(predicted.shape)}"
        )
    shape = (*true.shape, 3)
    for name, array in (("image", image), ("reconstruction", reconstruction)):
        if array is not None and array.shape != shape:
            raise DataError(f"'{name}' has the wrong shape", expected=f"{list(shape)}", found=f"{list(array.shape)}")
    if image is None:
        picture, rebuilt = np.zeros(shape, np.uint8), None
    else:
        picture = image
        rebuilt = None if reconstruction is None else np.asarray(reconstruction, np.float32)
    if rebuilt is not None and picture.dtype != np.uint8:  # keep the exact float image: score their difference
        rebuilt, picture = rebuilt - np.asarray(picture, np.float32), np.zeros(shape, np.uint8)
    outcome = Outcome(Scene("scene", picture, true), predicted, rebuilt)
    return score_outcome(outcome, [registry.metric(name) for name in metrics or DEFAULT_METRICS])


def _label_map(array: np.ndarray, name: str) -> np.ndarray:
    """The label map as uint8, or DataError where it is none."""
    array = np.asarray(array)
    if array.ndim != 2 or array.dtype.kind not in "uib":
        raise DataError(
            f"'{name}' is not a label map", expected="integers [H, W]", found=f"{array.dtype} {list(array.shape)}"
        )
    if array.size == 0 or array.min() < 0 or array.max() > 255:
        raise DataError(
            f"'{name}' has labels out of range", expected="0..255, at least one pixel", found=f"{array.shape}"
        )
    return array.astype(np.uint8)
