"""How many objects are found, pooled over the whole set: precision, recall, F1, panoptic quality, AP at IoU 0.5.

Class agnostic. In each scene, a predicted segment that is the background (IoU with true id 0 at least 0.5) is dropped;
of the others, one whose IoU with a true object is above 0.5 has found it (TP). Above one half the match is unique, so
that no solver is needed. The dialect `inclusive` is the arithmetic of UnsupObjSeg (Yang and Yang 2022), where 0.5
itself counts and a Hungarian matching decides: IoU = C / (union + 1e-6) in float32.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import linear_sum_assignment

from ocbench.errors import UsageError
from ocbench.metrics.overlaps import Overlaps, overlap_score, overlaps_of
from ocbench.scene import Metric, Outcome

HALF = 0.5
TP, FP, FN, QUALITY = range(4)  # columns of the counts; quality is the sum of the IoUs of the TPs


@overlap_score
def counts(overlaps: Overlaps) -> np.ndarray:
    """float64 [B, 1, 4]: TP, FP, FN and the sum of the IoUs of the TPs of each scene."""
    kept = (overlaps.predicted > 0) & (overlaps.iou[:, :, 0] < HALF)
    iou = overlaps.iou[:, :, 1:] * kept[:, :, None]
    hits = iou > HALF
    found = hits.sum(axis=(1, 2))
    objects = np.count_nonzero(overlaps.true[:, 1:], axis=1)
    quality = (iou * hits).sum(axis=(1, 2), dtype=np.float64)
    return np.stack((found, kept.sum(axis=1) - found, objects - found, quality), axis=1)[:, None]


@overlap_score
def counts_inclusive(overlaps: Overlaps) -> np.ndarray:
    """The same in the arithmetic of UnsupObjSeg."""
    found = []
    for place in range(len(overlaps.tables)):
        kept, objects, hits = _inclusive_hits(overlaps, place)
        found.append((len(hits), kept - len(hits), objects - len(hits), sum(hits.values())))
    return np.array(found, np.float64)[:, None]


def _inclusive_hits(overlaps: Overlaps, place: int) -> tuple[int, int, dict[int, float]]:
    """Numbers of kept segments and of objects, and the IoU of each predicted segment that has found an object."""
    table = overlaps.tables[place]
    union = overlaps.predicted[place][:, None] + overlaps.true[place][None, :] - table
    iou = table.astype(np.float32) / (union.astype(np.float32) + np.float32(1e-6))
    kept = np.flatnonzero((overlaps.predicted[place] > 0) & (iou[:, 0] < HALF))
    objects = 1 + np.flatnonzero(overlaps.true[place][1:])
    rows, columns = linear_sum_assignment(iou[np.ix_(kept, objects)], maximize=True)
    matched = zip(kept[rows].tolist(), iou[kept[rows], objects[columns]].tolist(), strict=True)
    return len(kept), len(objects), {label: value for label, value in matched if value >= HALF}


def ranked(outcome: Outcome) -> np.ndarray:
    """float64 [1 + kept, 3]: confidence, TP or not, and 0 of each kept segment; before them NaN, 0, objects."""
    overlaps = overlaps_of(outcome)
    predicted, iou = overlaps.predicted[0], overlaps.iou[0]
    kept = np.flatnonzero((predicted > 0) & (iou[:, 0] < HALF))
    hits = (iou[kept, 1:] > HALF).any(axis=1)
    return _rows(outcome.confidences, kept, hits, int(np.count_nonzero(overlaps.true[0][1:])))


def ranked_inclusive(outcome: Outcome) -> np.ndarray:
    """The same in the arithmetic of UnsupObjSeg."""
    overlaps = overlaps_of(outcome)
    _, objects, found = _inclusive_hits(overlaps, 0)
    table = overlaps.tables[0]
    union = overlaps.predicted[0] + overlaps.true[0][0] - table[:, 0]
    kept = np.flatnonzero((overlaps.predicted[0] > 0) & (table[:, 0] / (union + 1e-6) < HALF))
    return _rows(outcome.confidences, kept, np.isin(kept, list(found)), objects)


def _rows(confidences: np.ndarray | None, kept: np.ndarray, hits: np.ndarray, objects: int) -> np.ndarray:
    if confidences is None:
        raise UsageError("ap50 needs a confidence of every predicted segment", hint="report f1 instead")
    segments = np.column_stack((confidences[kept], hits, np.zeros(len(kept))))
    return np.concatenate(([[np.nan, 0, objects]], segments)).astype(np.float64)


def precision(rows: np.ndarray) -> float:
    """TP / (TP + FP); NaN without a prediction."""
    return _share(rows, lambda tp, fp, fn, quality: (tp, tp + fp))


def recall(rows: np.ndarray) -> float:
    """TP / (TP + FN); NaN without an object."""
    return _share(rows, lambda tp, fp, fn, quality: (tp, tp + fn))


def f1(rows: np.ndarray) -> float:
    """TP / (TP + FP / 2 + FN / 2); NaN with neither."""
    return _share(rows, lambda tp, fp, fn, quality: (tp, tp + fp / 2 + fn / 2))


def pq(rows: np.ndarray) -> float:
    """Sum of the IoUs of the TPs / (TP + FP / 2 + FN / 2); NaN with neither."""
    return _share(rows, lambda tp, fp, fn, quality: (quality, tp + fp / 2 + fn / 2))


def _share(rows: np.ndarray, parts: Callable[..., tuple[float, float]]) -> float:
    above, below = parts(*rows.sum(axis=0).tolist())
    return above / below if below else float("nan")


def average_precision(rows: np.ndarray) -> float:
    """Area under precision over recall of all segments by falling confidence, precision made non-increasing.

    NaN without an object. All points, no grid; among equal confidences the order of scenes and labels.
    """
    segments = rows[~np.isnan(rows[:, 0])]
    objects = rows[:, 2].sum()
    if not objects:
        return float("nan")
    hits = segments[np.argsort(-segments[:, 0], kind="stable"), 1]
    found = np.cumsum(hits)
    precisions = found / np.arange(1, len(hits) + 1)
    falling = np.maximum.accumulate(precisions[::-1])[::-1]
    return float((falling * hits).sum() / objects)


def _metric(
    name: str, label: str, pool: Callable[[np.ndarray], float], summary: str, formula: str, empty: str
) -> Metric:
    return Metric(
        name=name, label=label, score=counts, scale=100, pool=pool, dialects={"inclusive": counts_inclusive},
        summary=summary,
        formula=f"{formula}, counts pooled over all scenes; TP: IoU > 0.5 with a true object, of a segment whose IoU "
        "with the true background is below 0.5",
        range="0..1", degenerate=f"{empty}. @inclusive: IoU 0.5 itself counts, Hungarian matching",
        reported_by="UnsupObjSeg (Yang and Yang 2022), as @inclusive",
    )  # fmt: skip


PRECISION = _metric(
    "precision", "Precision", precision, "share of predicted objects that are objects", "TP / (TP + FP)",
    "NaN without a predicted object",
)  # fmt: skip
RECALL = _metric(
    "recall", "Recall", recall, "share of objects that are found", "TP / (TP + FN)", "NaN without an object"
)
F1 = _metric(
    "f1", "F1", f1, "harmonic mean of precision and recall", "TP / (TP + FP / 2 + FN / 2)",
    "NaN with neither objects nor predicted ones",
)  # fmt: skip
PQ = _metric(
    "pq", "PQ", pq, "panoptic quality: F1 weighted by how well objects are cut out",
    "sum of the IoUs of the TPs / (TP + FP / 2 + FN / 2)", "NaN with neither objects nor predicted ones",
)  # fmt: skip
AP50 = Metric(
    name="ap50", label="AP50", score=ranked, scale=100, pool=average_precision, needs_confidences=True,
    dialects={"inclusive": ranked_inclusive}, summary="average precision at IoU 0.5 by confidence",
    formula="segments of all scenes by falling confidence; area under precision, made non-increasing, over recall",
    range="0..1", degenerate="NaN without an object; left out where the model gives no confidences",
    reported_by="UnsupObjSeg (Yang and Yang 2022), as @inclusive",
)  # fmt: skip
