"""How well each true segment is covered by the predicted segment that covers it best: no matching, no punishment.

One predicted segment may be the best of several true ones, and so may the predicted background. The IoU is taken over
the whole image.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ocbench.metrics.boxes import box_best, box_best_exclusive
from ocbench.metrics.overlaps import Overlaps, overlap_score
from ocbench.scene import Metric, Outcome

HALF = 0.5  # IoU that must be passed


@overlap_score
def msc_fg(overlaps: Overlaps) -> np.ndarray:
    """Mean over true objects of the best IoU with any predicted segment, in 0..1; 0 without objects."""
    return np.nan_to_num(mbo.function(overlaps), nan=0.0)


@overlap_score
def msc(overlaps: Overlaps) -> np.ndarray:
    """Mean over true segments, background included, of the best IoU with any predicted segment, in 0..1."""
    return _mean(overlaps.best, overlaps.true > 0)


@overlap_score
def sc_fg(overlaps: Overlaps) -> np.ndarray:
    """Mean over object pixels of the best IoU of their object, in 0..1; 0 without objects."""
    return np.nan_to_num(_mean(overlaps.best[:, 1:], overlaps.true[:, 1:]), nan=0.0)


@overlap_score
def sc(overlaps: Overlaps) -> np.ndarray:
    """Mean over pixels of the best IoU of their true segment, in 0..1."""
    return _mean(overlaps.best, overlaps.true)


@overlap_score
def mbo(overlaps: Overlaps) -> np.ndarray:
    """Mean over true objects of the best IoU with any predicted segment, in 0..1; NaN without objects."""
    return _mean(overlaps.best[:, 1:], overlaps.true[:, 1:] > 0)


@overlap_score
def sc_fg_nan(overlaps: Overlaps) -> np.ndarray:
    """`sc_fg`, NaN without objects."""
    return _mean(overlaps.best[:, 1:], overlaps.true[:, 1:])


@overlap_score
def recovery(overlaps: Overlaps) -> np.ndarray:
    """Share of true objects with a best IoU above 0.5; NaN without objects."""
    return _mean(overlaps.best[:, 1:] > HALF, overlaps.true[:, 1:] > 0)


@overlap_score
def corloc(overlaps: Overlaps) -> np.ndarray:
    """1 where an object has a best IoU above 0.5, else 0; NaN without objects."""
    return np.where(overlaps.true[:, 1:].any(axis=1), (overlaps.best[:, 1:] > HALF).any(axis=1), np.nan)


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """float64 [B]: weighted means of [B, T]; NaN without weight. float32 values of 0..1: the sums are exact."""
    with np.errstate(invalid="ignore"):
        return (values.astype(np.float64) * weights).sum(axis=1) / weights.sum(axis=1)


def _of_boxes(best: Callable[[Outcome], np.ndarray], summary: Callable[[np.ndarray], np.ndarray]) -> Callable:
    """The same of the boxes of an outcome; NaN without objects."""

    def score(outcome: Outcome) -> float:
        found = best(outcome)
        return float(summary(found > HALF)) if found.size else float("nan")

    return score


MSC_FG = Metric(
    name="msc_fg", label="MSC-FG", score=msc_fg, scale=100, dialects={"nan": mbo},
    summary="mean over true objects of the best IoU with any predicted segment",
    formula="mean over true objects of max over predicted segments of the IoU, unweighted",
    range="0..1", degenerate="0 without objects (@nan: NaN)",
    reported_by="GENESIS-V2 (Engelcke et al. 2021; on 320 scenes), AST-Seg (on all)",
)  # fmt: skip
SC_FG = Metric(
    name="sc_fg", label="SC-FG", score=sc_fg, scale=100, dialects={"nan": sc_fg_nan},
    summary="as msc_fg, weighted by the area of the objects",
    formula="sum over true objects of area x best IoU / area of all objects", range="0..1",
    degenerate="0 without objects (@nan: NaN)", reported_by='GENESIS, as "SC"; field scaled_sc_fg of AST-Seg',
)  # fmt: skip
MSC = Metric(
    name="msc", label="MSC", score=msc, scale=100, summary="as msc_fg, with the background",
    formula="mean over true segments of max over predicted segments of the IoU, unweighted", range="0..1",
    degenerate="none", reported_by="GENESIS, AST-Seg's log. Not the field mSC of the official ClevrTex evaluator",
)  # fmt: skip
SC = Metric(
    name="sc", label="SC", score=sc, scale=100, summary="as sc_fg, with the background",
    formula="sum over true segments of area x best IoU / all pixels", range="0..1", degenerate="none",
    reported_by="GENESIS, AST-Seg's log (scaled_sc)",
)  # fmt: skip
MBO = Metric(
    name="mbo", label="mBO", score=mbo, scale=100, summary="mean best overlap: msc_fg over scenes with objects",
    formula="mean over true objects of max over predicted segments of the IoU", range="0..1",
    degenerate="NaN without objects: such a scene is left out, and counted", reported_by="OCLF, videosaur, VQ-VFM-OCL",
)  # fmt: skip
RECOVERY = Metric(
    name="recovery", label="Recovery", score=recovery, scale=100, summary="share of objects with a best IoU above 0.5",
    dialects={"box": _of_boxes(box_best, np.mean), "oclf-box": _of_boxes(box_best_exclusive, np.mean)},
    formula="true objects with max over predicted segments of the IoU > 0.5 / true objects; of tight boxes with @box",
    range="0..1", degenerate="NaN without objects. @oclf-box: a box ends at the index of its last pixel, as in OCLF",
    reported_by="OCLF",
)  # fmt: skip
CORLOC = Metric(
    name="corloc", label="CorLoc", score=corloc, scale=100, summary="share of scenes in which an object is found",
    dialects={"box": _of_boxes(box_best, np.any), "oclf-box": _of_boxes(box_best_exclusive, np.any)},
    formula="1 where some true object has max over predicted segments of the IoU > 0.5; of tight boxes with @box",
    range="0 or 1 a scene", degenerate="as recovery", reported_by="OCLF",
)  # fmt: skip
