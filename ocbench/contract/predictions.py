"""What a prediction must be for the scores to rely on it."""

from __future__ import annotations

from typing import Any

import torch

from ocbench.errors import PluginError
from ocbench.plugin import Prediction

TOLERANCE = 1e-4  # between sums taken in another order


def check_prediction(found: Any, batch: torch.Tensor) -> None:
    """PluginError where a Prediction is not what design and scores rely on."""
    if not isinstance(found, Prediction):
        raise PluginError(f"predict gave a {type(found).__name__}, not an ocbench.Prediction")
    count, size = len(batch), tuple(batch.shape[2:])
    slots = found.weights.shape[1] if found.weights.ndim == 4 else 0
    _check_tensor("weights", found.weights, (count, slots, *size))
    for name, each in {"weights": found.weights, **(found.alternatives or {})}.items():
        _check_tensor(name, each, (count, each.shape[1], *size))
        if each.min() < 0:
            raise PluginError(f"'{name}' has the negative value {each.min():.3g}")
        if (each.sum(1) - 1).abs().max() > TOLERANCE:
            raise PluginError(
                f"'{name}' does not sum to 1 over slots but to {each.sum(1).min():.4g} … {each.sum(1).max():.4g}"
            )
    if not 1 <= slots <= 255:
        raise PluginError(f"weights have {slots} slots", expected="1 to 255")
    for name, optional, shape in (
        ("reconstruction", found.reconstruction, (count, 3, *size)),
        ("layers", found.layers, (count, slots, 3, *size)),
        ("centres", found.centres, (count, slots, 2)),
    ):
        if optional is not None:
            _check_tensor(name, optional, shape)


def _check_tensor(name: str, found: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(found, torch.Tensor) or found.dtype != torch.float32 or tuple(found.shape) != shape:
        kind = f"{found.dtype} {list(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
        raise PluginError(f"'{name}' is {kind}, not float32 {list(shape)}")
    if not torch.isfinite(found).all():
        raise PluginError(f"'{name}' holds values that are not finite")
