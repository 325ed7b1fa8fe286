"""How well predicted segments match the true ones: mIoU, ARI-FG and MSC-FG, all from one contingency table.

A segmentation is a label map. True id 0 is the background; the predicted background has no special role. `C[i, j]`
counts the pixels with predicted label i and true id j; `a_i` and `b_j` are its row and column sums; a segment is empty
when its sum is 0; `IoU[i, j] = C[i, j] / (a_i + b_j - C[i, j])`.

    miou     Hungarian matching on IoU over all segments, background included; the sum of the matched IoUs divided by
             the number of live pairs, those in which a side is not empty (AST-Seg paper, tables 1 to 5)
    miou_fg  the same matching; the pair of true id 0 left out of the sum, and one pair out of the count (baseline rows
             of the ClevrTex benchmark, Karazija et al. 2021)
    ari_fg   adjusted Rand index (Hubert and Arabie 1985) over the pixels whose true id is above 0
    msc_fg   mean over true objects of the best IoU with any predicted segment (Engelcke et al. 2020), unweighted

The plain names reproduce the published evaluators bit for bit: `miou` works in float32 on a square table padded with
empty segments and takes SciPy's choice among equally good matchings, which renaming predicted labels can change. Two
dialects do not depend on names: `union` counts #true + #predicted - #matches with overlap (never above the plain
value), `tight` matches non-empty segments only and divides by the larger number of them (never below it).

Degenerate scenes: without foreground `ari_fg` is 1 and `msc_fg` is 0; with one object `ari_fg` is 1 for any prediction
that is constant on it and 0 for any other. `miou_fg` is NaN where no pair is left to count (its dialect `official`
gives the evaluator's own NaN or infinity there), and takes one pair out of the count even where id 0 is no live pair,
so that it can pass 1 in a scene without background (its dialect `exact` counts the live pairs of ids above 0).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import linear_sum_assignment

from ocbench.scene import Metric, Outcome


def iou_matrix(table: np.ndarray) -> np.ndarray:
    """IoU of every predicted with every true segment, float32 [P, T], 0 where both are empty."""
    union = table.sum(axis=1)[:, None] + table.sum(axis=0)[None, :] - table
    return np.divide(
        table.astype(np.float32), union.astype(np.float32), out=np.zeros(table.shape, np.float32), where=union > 0
    )


def miou(outcome: Outcome) -> float:
    """Mean IoU over matched pairs, background included, in 0..1; the published evaluators' value."""
    matched, live = _official_pairs(outcome.table)
    return float(matched.sum(dtype=np.float64) / live.sum())


def miou_fg(outcome: Outcome) -> float:
    """Mean IoU over matched pairs without that of true id 0; NaN where none is left."""
    value = miou_fg_official(outcome)
    return value if math.isfinite(value) else math.nan


def miou_fg_official(outcome: Outcome) -> float:
    """`miou_fg` as the published evaluator computes it, also where that is infinite."""
    matched, live = _official_pairs(outcome.table)
    return _ratio(float(matched[1:].sum(dtype=np.float64)), int(live.sum()) - 1)


def miou_fg_exact(outcome: Outcome) -> float:
    """`miou_fg` over the live pairs of true ids above 0, in 0..1; NaN where there is none."""
    matched, live = _official_pairs(outcome.table)
    return _ratio(float(matched[1:].sum(dtype=np.float64)), int(live[1:].sum()))


def miou_union(outcome: Outcome) -> float:
    """`miou` over #true + #predicted - #overlapping matches; independent of how labels are named."""
    matched, true, predicted = _tight_pairs(outcome.table)
    return float(matched.sum(dtype=np.float64) / (true + predicted - np.count_nonzero(matched)))


def miou_tight(outcome: Outcome) -> float:
    """`miou` over max(#true, #predicted), matching non-empty segments only; independent of how labels are named."""
    matched, true, predicted = _tight_pairs(outcome.table)
    return float(matched.sum(dtype=np.float64) / max(true, predicted))


def ari_fg(outcome: Outcome) -> float:
    """Adjusted Rand index over the pixels of true objects, about -0.5..1."""
    return adjusted_rand_index(outcome.table[:, 1:])


def msc_fg(outcome: Outcome) -> float:
    """Mean over true objects of the best IoU with any predicted segment, in 0..1; 0 without objects."""
    table = outcome.table
    objects = np.flatnonzero(table.sum(axis=0)[1:]) + 1
    if objects.size == 0:
        return 0.0
    return float(iou_matrix(table)[:, objects].max(axis=0).mean(dtype=np.float64))


def adjusted_rand_index(table: np.ndarray) -> float:
    """Adjusted Rand index of the two partitions behind an int64 [P, T] table; 1 for fewer than two pixels."""
    n = int(table.sum())
    squares = int((table * table).sum())
    true_pairs = squares - n  # ordered pairs of pixels together on both sides
    false_pairs = int((table.sum(axis=1) ** 2).sum()) - squares
    missed_pairs = int((table.sum(axis=0) ** 2).sum()) - squares
    if false_pairs == 0 and missed_pairs == 0:
        return 1.0
    apart = n * n - false_pairs - missed_pairs - squares
    # Python integers: the products pass 2^63 from about 55,000 pixels on.
    return (
        2.0
        * (true_pairs * apart - missed_pairs * false_pairs)
        / ((true_pairs + missed_pairs) * (missed_pairs + apart) + (true_pairs + false_pairs) * (false_pairs + apart))
    )


def _official_pairs(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matched IoU (float32 [K]) and liveness of the pair (bool [K]) of every true slot of the padded square table."""
    side = max(table.shape)
    square = np.zeros((side, side), np.int64)
    square[: table.shape[0], : table.shape[1]] = table
    iou = iou_matrix(square)
    true, predicted = linear_sum_assignment(iou.T, maximize=True)  # rows = true: ties fall as in the published code
    live = (square.sum(axis=0)[true] > 0) | (square.sum(axis=1)[predicted] > 0)
    return iou[predicted, true], live


def _ratio(total: float, pairs: int) -> float:
    """Total per pair; without pairs NaN, or infinity for a total above 0."""
    if pairs == 0:
        return math.inf if total > 0 else math.nan
    return total / pairs


def _tight_pairs(table: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Matched IoUs among non-empty segments, and the numbers of true and predicted ones."""
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    iou = iou_matrix(table)
    true, predicted = linear_sum_assignment(iou.T, maximize=True)
    return iou[predicted, true], table.shape[1], table.shape[0]


MIOU = Metric(
    name="miou", label="mIoU", score=miou, scale=100, dialects={"union": miou_union, "tight": miou_tight},
    summary="matched IoU over all segments, background included, per live pair",
)  # fmt: skip
MIOU_FG = Metric(
    name="miou_fg", label="mIoU-FG", score=miou_fg, scale=100, dialects={"official": miou_fg_official},
    summary="as miou, without the pair of the true background",
)  # fmt: skip
ARI_FG = Metric(
    name="ari_fg", label="ARI-FG", score=ari_fg, scale=100,
    summary="adjusted Rand index over the pixels of true objects",
)  # fmt: skip
MSC_FG = Metric(
    name="msc_fg", label="MSC-FG", score=msc_fg, scale=100,
    summary="mean over true objects of the best IoU with any predicted segment",
)  # fmt: skip
