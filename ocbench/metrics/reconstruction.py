"""How well the reconstruction equals the image.

`mse` is that of the tables: a sum over pixels and channels, which grows with resolution. Images are in [0, 1] and
nothing is clamped.
"""

from __future__ import annotations

import math

import numpy as np

from ocbench.errors import UsageError
from ocbench.scene import Metric, Outcome

LEVELS = 255  # of an 8-bit image
BLOCK = 512  # values added in float32 before float64 takes over: exact to 1e-6 with room to spare


def mse(outcome: Outcome) -> float:
    """Sum of squared differences over 3 H W values, images in [0, 1]."""
    difference = _difference(outcome).ravel()
    blocks = difference[: difference.size - difference.size % BLOCK].reshape(-1, BLOCK)
    rest = difference[blocks.size :]
    return float(np.einsum("ij,ij->i", blocks, blocks).sum(dtype=np.float64) + np.dot(rest, rest))


def mse_mean(outcome: Outcome) -> float:
    """`mse` per value."""
    return mse(outcome) / outcome.scene.image.size


def rmse255(outcome: Outcome) -> float:
    """Root of the mean squared difference, in levels of an 8-bit image."""
    return LEVELS * math.sqrt(mse_mean(outcome))


def mse_fg(outcome: Outcome) -> float:
    """`mse` over the pixels of true objects alone; 0 without objects."""
    difference = _difference(outcome)[outcome.scene.mask > 0]
    return float(np.einsum("ij,ij->", difference, difference, dtype=np.float64))


def psnr(outcome: Outcome) -> float:
    """10 log10(1 / mean squared difference), in dB; infinite for an equal image."""
    mean = mse_mean(outcome)
    return math.inf if mean == 0 else -10 * math.log10(mean)


def _difference(outcome: Outcome) -> np.ndarray:
    """float32 [H, W, 3], shared by all metrics of an outcome."""
    if outcome.reconstruction is None:
        raise UsageError("this metric needs a reconstruction", hint="a model that gives none is scored without it")
    if "difference" not in outcome.derived:
        image = outcome.scene.image.astype(np.float32) / np.float32(LEVELS)
        outcome.derived["difference"] = np.subtract(outcome.reconstruction, image, out=image)
    return outcome.derived["difference"]


MSE = Metric(
    name="mse", label="MSE", score=mse, higher_is_better=False, needs_reconstruction=True,
    dialects={"mean": mse_mean, "rmse255": rmse255},
    summary="sum of squared differences over pixels and channels, images in [0, 1]",
    formula="sum over 3 H W values of (reconstruction - image)^2, not clamped (@mean: per value; @rmse255: root of the "
    "mean, in levels of 255)",
    range="0 and up; grows with resolution", degenerate="left out where the model gives no reconstruction",
    reported_by="all tables of AST-Seg and of the ClevrTex benchmark; OCLF, videosaur, VQ-VFM-OCL report @mean",
)  # fmt: skip
MSE_FG = Metric(
    name="mse_fg", label="MSE-FG", score=mse_fg, higher_is_better=False, needs_reconstruction=True,
    summary="as mse, over the pixels of true objects", formula="the sum of mse over pixels whose true id is above 0",
    range="0 and up", degenerate="0 without objects", reported_by="nobody we know of",
)  # fmt: skip
PSNR = Metric(
    name="psnr", label="PSNR", score=psnr, needs_reconstruction=True, summary="peak signal-to-noise ratio in dB",
    formula="10 log10(1 / mse@mean)", range="dB, 20 to 40 as a rule", degenerate="infinite for an equal image",
    reported_by="image compression and view synthesis",
)  # fmt: skip
