"""How well the reconstruction equals the image.

mse      sum of squared differences over pixels and channels, images in [0, 1], not clamped (AST-Seg paper, ClevrTex
         benchmark); it grows with resolution
mse@mean the same divided by the number of values
"""

from __future__ import annotations

import numpy as np

from ocbench.scene import Metric, Outcome


def mse(outcome: Outcome) -> float:
    """Sum of squared differences over 3 H W values, images in [0, 1]."""
    if outcome.reconstruction is None:
        return float("nan")
    difference = outcome.reconstruction - outcome.scene.image.astype(np.float32) / np.float32(255)
    return float(np.einsum("ijk,ijk->", difference, difference, dtype=np.float64))


def mse_mean(outcome: Outcome) -> float:
    """`mse` per value."""
    return mse(outcome) / outcome.scene.image.size


MSE = Metric(
    name="mse", label="MSE", score=mse, higher_is_better=False, needs_reconstruction=True, dialects={"mean": mse_mean},
    summary="sum of squared differences over pixels and channels, images in [0, 1]",
)  # fmt: skip
