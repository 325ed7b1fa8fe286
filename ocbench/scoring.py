"""From outcomes to rows, and from rows to results: the one place where metrics are averaged and NaN is treated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ocbench.errors import UsageError
from ocbench.runs import MetricResult
from ocbench.scene import Metric, Outcome
from ocbench.statistics import bootstrap_interval

DEFAULT_METRICS = ("miou", "miou_fg", "ari_fg", "msc_fg", "mse")
NanPolicy = Literal["omit", "propagate", "zero"]


def score_outcome(outcome: Outcome, metrics: Sequence[Metric]) -> dict[str, float]:
    """Every metric that the outcome allows; one that needs a reconstruction is left out where there is none."""
    return {
        metric.name: metric.score(outcome)
        for metric in metrics
        if outcome.reconstruction is not None or not metric.needs_reconstruction
    }


def scene_row(outcome: Outcome, metrics: Sequence[Metric]) -> dict[str, Any]:
    """One line of the per-scene file: key, scores, numbers of segments, flags, and the best IoU of each object."""
    from ocbench.metrics.segmentation import iou_matrix

    table = outcome.table
    true, predicted = table.sum(axis=0), table.sum(axis=1)
    best = iou_matrix(table).max(axis=0)
    ids = [int(i) for i in np.flatnonzero(true) if i > 0]
    return {
        "key": outcome.scene.key,
        **score_outcome(outcome, metrics),
        "objects": len(ids),
        "segments": int(np.count_nonzero(predicted)),
        "flags": [] if len(ids) > 1 else ["one_object"] if ids else ["no_foreground"],
        "per_object": [{"id": i, "pixels": int(true[i]), "best_iou": round(float(best[i]), 6)} for i in ids],
    }


def summarise(
    rows: Sequence[Mapping[str, Any]],
    metrics: Sequence[Metric],
    *,
    nan: NanPolicy = "omit",
    level: float | None = 95.0,
    published: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[MetricResult, ...]:
    """One result per metric: the unweighted mean over scenes with its bootstrap interval.

    NaN scores are left out and counted (`omit`), make the mean NaN (`propagate`) or count as 0 (`zero`). A metric that no
    row has is left out; one that only some rows have is an error, because its mean would be over other scenes.
    """
    results = []
    for metric in metrics:
        found = [row[metric.name] for row in rows if metric.name in row]
        if not found:
            continue
        if len(found) != len(rows):
            raise UsageError(f"'{metric.name}' is there for {len(found)} of {len(rows)} scenes only")
        values = np.array([math.nan if value is None else value for value in found], np.float64)
        kept = (
            np.nan_to_num(values, nan=0.0) if nan == "zero" else values[~np.isnan(values)] if nan == "omit" else values
        )
        empty = kept.size == 0
        finite = not empty and bool(np.isfinite(kept).all())
        results.append(
            MetricResult(
                metric=metric.name,
                label=metric.label,
                mean=math.nan if empty else float(kept.mean()),
                std=math.nan if empty else float(kept.std()),
                scenes=int(kept.size),
                undefined=int(np.isnan(values).sum()),
                interval=bootstrap_interval(kept, level) if level is not None and finite else None,
                higher_is_better=metric.higher_is_better,
                scale=metric.scale,
                published=dict(published[metric.name]) if published and metric.name in published else None,
            )
        )
    return tuple(results)
