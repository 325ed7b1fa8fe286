"""How well predicted segments match the true ones one to one: the mIoU and DICE families, and numbers of segments.

The plain names reproduce the published evaluators bit for bit: they work in float32 on a square table padded with empty
segments and take SciPy's choice among equally good matchings, which renaming predicted labels can change. Two dialects
do not depend on names: `union` counts #true + #predicted - #matches with overlap (never above the plain value of
`miou`), `tight` matches non-empty segments only and divides by the larger number of them (never below it).

`miou_fg` is NaN where no pair is left to count (its dialect `official` gives the evaluator's own NaN or infinity), and
takes one pair out of the count even where id 0 is no live pair, so that it can pass 1 in a scene without background
(its dialect `exact` counts the live pairs of ids above 0).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ocbench.metrics.overlaps import Overlaps, overlap_score
from ocbench.scene import Metric

EVALUATOR = "the official ClevrTex evaluator (Karazija et al. 2021)"
AST = "AST-Seg (Sauvalle and de La Fortelle 2023)"
FOREGROUND_KITS = "OCLF (ignore_background), videosaur, VQ-VFM-OCL (skip=[0])"


@overlap_score
def miou(overlaps: Overlaps) -> np.ndarray:
    """Mean IoU over live pairs, background included, in 0..1."""
    pairs = overlaps.official
    return _total(pairs.iou) / pairs.live.sum(axis=1)


@overlap_score
def miou_union(overlaps: Overlaps) -> np.ndarray:
    """`miou` over #true + #predicted - #overlapping matches; independent of how labels are named."""
    return _total(overlaps.tight.iou) / _union_count(overlaps)


@overlap_score
def miou_tight(overlaps: Overlaps) -> np.ndarray:
    """`miou` over max(#true, #predicted), matching non-empty segments only; independent of how labels are named."""
    return _total(overlaps.tight.iou) / np.maximum(*_counts(overlaps))


@overlap_score
def miou_gt(overlaps: Overlaps) -> np.ndarray:
    """Sum of the matched IoUs over the number of true segments, background included, in 0..1."""
    return _total(overlaps.official.iou) / _counts(overlaps)[0]


@overlap_score
def miou_fg(overlaps: Overlaps) -> np.ndarray:
    """Mean IoU over live pairs without that of true id 0; NaN where none is left."""
    return _finite(miou_fg_official.function(overlaps))


@overlap_score
def miou_fg_official(overlaps: Overlaps) -> np.ndarray:
    """`miou_fg` as the published evaluator computes it, also where that is infinite."""
    pairs = overlaps.official
    return _ratio(_total(pairs.iou[:, 1:]), pairs.live.sum(axis=1) - 1)


@overlap_score
def miou_fg_exact(overlaps: Overlaps) -> np.ndarray:
    """`miou_fg` over the live pairs of true ids above 0, in 0..1; NaN where there is none."""
    pairs = overlaps.official
    return _ratio(_total(pairs.iou[:, 1:]), pairs.live[:, 1:].sum(axis=1))


@overlap_score
def miou_fg_union(overlaps: Overlaps) -> np.ndarray:
    """`miou_union` without the pair of true id 0; NaN where none is left."""
    return _ratio(_total(overlaps.tight.iou[:, 1:]), _union_count(overlaps) - _has_background(overlaps))


@overlap_score
def miou_fg_tight(overlaps: Overlaps) -> np.ndarray:
    """`miou_tight` without the pair of true id 0; NaN where none is left."""
    pairs = np.maximum(*_counts(overlaps)) - _has_background(overlaps)
    return _ratio(_total(overlaps.tight.iou[:, 1:]), pairs)


@overlap_score
def miou_fg_gt(overlaps: Overlaps) -> np.ndarray:
    """Mean IoU of true objects, matched with id 0 left out beforehand, in 0..1; NaN without objects."""
    return _ratio(_total(overlaps.objects.iou), np.count_nonzero(overlaps.true[:, 1:], axis=1))


@overlap_score
def dice(overlaps: Overlaps) -> np.ndarray:
    """Mean of 2 C / (a + b) over the live pairs of `miou`'s matching, in 0..1."""
    pairs = overlaps.official
    return _total(pairs.dice) / pairs.live.sum(axis=1)


@overlap_score
def dice_fg(overlaps: Overlaps) -> np.ndarray:
    """`dice` without the pair of true id 0; NaN where none is left."""
    return _finite(dice_fg_official.function(overlaps))


@overlap_score
def dice_fg_official(overlaps: Overlaps) -> np.ndarray:
    """`dice_fg` as the published evaluator computes it, also where that is infinite."""
    pairs = overlaps.official
    return _ratio(_total(pairs.dice[:, 1:]), pairs.live.sum(axis=1) - 1)


@overlap_score
def acc(overlaps: Overlaps) -> np.ndarray:
    """1 where as many segments are predicted as there are, background included, else 0."""
    true, predicted = _counts(overlaps)
    return (true == predicted).astype(np.float64)


@overlap_score
def count_error(overlaps: Overlaps) -> np.ndarray:
    """How many segments are predicted too many or too few."""
    return np.abs(count_error_signed.function(overlaps))


@overlap_score
def count_error_signed(overlaps: Overlaps) -> np.ndarray:
    """Number of predicted segments less the number of true ones, background included."""
    true, predicted = _counts(overlaps)
    return (predicted - true).astype(np.float64)


def _total(values: np.ndarray) -> np.ndarray:
    """float64 [B]: sums of [B, K], added from the first on, so that padding changes no bit."""
    return np.cumsum(values, axis=1, dtype=np.float64)[:, -1] if values.shape[1] else np.zeros(len(values))


def _ratio(totals: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Totals per pair; without pairs NaN, or infinity for a total above 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return totals / pairs


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


def _counts(overlaps: Overlaps) -> tuple[np.ndarray, np.ndarray]:
    """int64 [B] each: the numbers of true and of predicted segments that are not empty."""
    return np.count_nonzero(overlaps.true, axis=1), np.count_nonzero(overlaps.predicted, axis=1)


def _union_count(overlaps: Overlaps) -> np.ndarray:
    return sum(_counts(overlaps)) - np.count_nonzero(overlaps.tight.iou, axis=1)


def _has_background(overlaps: Overlaps) -> np.ndarray:
    return overlaps.true[:, 0] > 0


MIOU = Metric(
    name="miou", label="mIoU", score=miou, scale=100, numbers_break_ties=True,
    dialects={"union": miou_union, "tight": miou_tight},
    summary="matched IoU over all segments, background included, per live pair",
    formula="Hungarian matching on IoU; sum of the matched IoUs / number of pairs in which a side is not empty",
    range="0..1",
    degenerate="a pair without overlap counts as 0; which empty segment is paired with which is SciPy's choice, and "
    "changes the number of pairs: @union and @tight do not depend on it",
    reported_by=f"{AST}, all tables; field mIoU of {EVALUATOR}",
)  # fmt: skip
MIOU_FG = Metric(
    name="miou_fg", label="mIoU-FG", score=miou_fg, scale=100, numbers_break_ties=True,
    dialects={
        "official": miou_fg_official, "exact": miou_fg_exact, "union": miou_fg_union, "tight": miou_fg_tight,
    },
    summary="as miou, without the pair of the true background",
    formula="the matching of miou; sum of the matched IoUs of true ids above 0 / (number of live pairs - 1)",
    range="0..1; above 1 where the truth has no background and id 0 is matched with nothing (@exact: never)",
    degenerate="NaN where no pair is left (@official: NaN or infinity)",
    reported_by=f"baseline rows of the ClevrTex benchmark and of AST-Seg's tables; field mIoU_fg of {EVALUATOR}",
)  # fmt: skip
MIOU_GT = Metric(
    name="miou_gt", label="mIoU-GT", score=miou_gt, scale=100, dialects={"union": miou_gt, "tight": miou_gt},
    summary="as miou, per true segment: what is predicted too much costs nothing",
    formula="Hungarian matching on IoU; sum of the matched IoUs / number of true segments, by any pairing",
    range="0..1", degenerate="none: a scene has at least one true segment",
    reported_by=f"field mIoU_gt of {EVALUATOR}; OCLF, videosaur and VQ-VFM-OCL with background",
)  # fmt: skip
MIOU_FG_GT = Metric(
    name="miou_fg_gt", label="mIoU-FG-GT", score=miou_fg_gt, scale=100,
    dialects={"union": miou_fg_gt, "tight": miou_fg_gt},
    summary="matched IoU per true object; the background takes part in nothing",
    formula="true id 0 removed; Hungarian matching on IoU (over the whole image); sum / number of true objects. Every "
    "pairing gives the same",
    range="0..1", degenerate="NaN without objects", reported_by=FOREGROUND_KITS,
)  # fmt: skip
DICE = Metric(
    name="dice", label="DICE", score=dice, scale=100, numbers_break_ties=True,
    summary="as miou, with 2 C / (a + b) in place of the IoU",
    formula="the matching of miou; sum of 2 C / (a + b) of the pairs / number of live pairs", range="0..1",
    degenerate="as miou", reported_by=f"field DICE of {EVALUATOR}",
)  # fmt: skip
DICE_FG = replace(
    DICE, name="dice_fg", label="DICE-FG", score=dice_fg, dialects={"official": dice_fg_official},
    summary="as dice, without the pair of the true background",
    formula="the matching of miou; sum of 2 C / (a + b) of true ids above 0 / (number of live pairs - 1)",
    degenerate="as miou_fg", reported_by=f"field DICE_FG of {EVALUATOR}",
)  # fmt: skip
ACC = Metric(
    name="acc", label="Count acc.", score=acc, scale=100,
    summary="share of scenes with the right number of segments",
    formula="1 where the numbers of predicted and of true segments, background included, are equal, else 0",
    range="0 or 1 a scene", degenerate="none", reported_by=f"field acc of {EVALUATOR}",
)  # fmt: skip
COUNT_ERROR = Metric(
    name="count_error", label="Count error", score=count_error, higher_is_better=False,
    dialects={"signed": count_error_signed},
    summary="segments predicted too many or too few",
    formula="|number of predicted segments - number of true ones|, background included (@signed: without the bars)",
    range="0 and up", degenerate="none", reported_by="nobody we know of; it says how wrong `acc` is",
)  # fmt: skip
