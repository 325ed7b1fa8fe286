"""How far two partitions of pixels agree, whatever their labels: the adjusted Rand index (Hubert and Arabie 1985).

Over the pixels of true objects (`ari_fg`, that of the tables) or over all of them (`ari`). What is predicted elsewhere
does not matter to `ari_fg`; the predicted background is one more cluster.
"""

from __future__ import annotations

import numpy as np

from ocbench.metrics.overlaps import Overlaps, overlap_score
from ocbench.scene import Metric


@overlap_score
def ari(overlaps: Overlaps) -> np.ndarray:
    """Adjusted Rand index over all pixels, about -0.5..1."""
    return adjusted_rand_index(overlaps.tables)


@overlap_score
def ari_fg(overlaps: Overlaps) -> np.ndarray:
    """Adjusted Rand index over the pixels of true objects, about -0.5..1."""
    return adjusted_rand_index(overlaps.tables[:, :, 1:])


@overlap_score
def ari_fg_nan(overlaps: Overlaps) -> np.ndarray:
    """`ari_fg`, NaN without objects."""
    return np.where(_objects(overlaps) > 0, ari_fg.function(overlaps), np.nan)


@overlap_score
def ari_fg_several(overlaps: Overlaps) -> np.ndarray:
    """`ari_fg`, NaN where there are fewer than two objects to tell apart."""
    return np.where(_objects(overlaps) > 1, ari_fg.function(overlaps), np.nan)


def _objects(overlaps: Overlaps) -> np.ndarray:
    return np.count_nonzero(overlaps.true[:, 1:], axis=1)


def adjusted_rand_index(tables: np.ndarray) -> np.ndarray:
    """float64 [B]: that of the two partitions behind each int64 [P, T] table; 1 for fewer than two pixels."""
    n = tables.sum(axis=(1, 2))
    squares = (tables * tables).sum(axis=(1, 2))
    together = squares - n  # ordered pairs of pixels in one segment on both sides
    false = (tables.sum(axis=2) ** 2).sum(axis=1) - squares
    missed = (tables.sum(axis=1) ** 2).sum(axis=1) - squares
    apart = n * n - false - missed - squares
    agreed = (false == 0) & (missed == 0)
    # Their products pass 2^63 from about 55,000 pixels on.
    together, false, missed, apart = (pairs.astype(np.float64) for pairs in (together, false, missed, apart))
    above = 2.0 * (together * apart - missed * false)
    below = (together + missed) * (missed + apart) + (together + false) * (false + apart)
    return np.where(agreed, 1.0, above / np.where(agreed, 1.0, below))


ARI_FG = Metric(
    name="ari_fg", label="ARI-FG", score=ari_fg, scale=100, dialects={"nan": ari_fg_nan, "several": ari_fg_several},
    summary="adjusted Rand index over the pixels of true objects",
    formula="2 (TP TN - FN FP) / ((TP + FN)(FN + TN) + (TP + FP)(FP + TN)) over ordered pairs of pixels whose true id "
    "is above 0: TP together on both sides, FP only as predicted, FN only in truth",
    range="about -0.5..1; 0 is chance",
    degenerate="1 without objects (@nan: NaN); with one object 1 for a prediction that is constant on it, 0 for any "
    "other (@several: NaN with fewer than two objects)",
    reported_by="all tables of AST-Seg and of the ClevrTex benchmark; equal to scikit-learn's on those pixels",
)  # fmt: skip
ARI = Metric(
    name="ari", label="ARI", score=ari, scale=100,
    summary="adjusted Rand index over all pixels, background one segment",
    formula="as ari_fg, over all pixels", range="about -0.5..1; 0 is chance",
    degenerate="1 where both sides are one segment; 0 where only one side is",
    reported_by="the evaluators' logs, beside ARI-FG",
)  # fmt: skip
