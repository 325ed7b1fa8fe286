"""From outcomes to rows, and from rows to results: the one place where metrics are averaged and NaN is treated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ocbench.errors import UsageError
from ocbench.metrics.segmentation import iou_matrix
from ocbench.runs import MetricResult
from ocbench.scene import Metric, Outcome
from ocbench.statistics import bootstrap_interval

DEFAULT_METRICS = ("miou", "miou_fg", "ari_fg", "msc_fg", "mse")
NanPolicy = Literal["omit", "propagate", "zero"]


def score_outcome(outcome: Outcome, metrics: Sequence[Metric]) -> dict[str, Any]:
    """Every metric that the outcome allows: a number, or the rows of a pooled one as lists.

    One that needs a reconstruction is left out where there is none.
    """
    return {
        metric.name: float(metric.score(outcome)) if metric.pool is None else np.asarray(metric.score(outcome)).tolist()
        for metric in metrics
        if outcome.reconstruction is not None or not metric.needs_reconstruction
    }


def pooled(metric: Metric, scenes: Sequence[Sequence[Sequence[float]]]) -> float:
    """The value of a pooled metric over the rows of all scenes; NaN where there is no row."""
    rows = [row for scene in scenes for row in scene]
    return float(metric.pool(np.array(rows, np.float64))) if metric.pool and rows else math.nan


def scene_row(outcome: Outcome, metrics: Sequence[Metric]) -> dict[str, Any]:
    """One line of the per-scene file: key, scores, numbers of segments, flags, and the best IoU of each object."""
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
) -> tuple[MetricResult, ...]:
    """One result per metric: the unweighted mean over scenes, or the pooled value, with its bootstrap interval.

    NaN scores are left out and counted (`omit`), make the mean NaN (`propagate`) or count as 0 (`zero`). A metric that
    no row has is left out; one that only some rows have is an error, because its mean would be over other scenes.
    """
    results = []
    for metric in metrics:
        found = [row[metric.name] for row in rows if metric.name in row]
        if found and len(found) != len(rows):
            raise UsageError(
                f"'{metric.name}' is not there for every scene", expected=f"{len(rows)}", found=f"{len(found)}"
            )
        if found:
            results.append(
                _averaged(metric, found, nan, level) if metric.pool is None else _pooled(metric, found, level)
            )
    return tuple(results)


def _averaged(metric: Metric, found: Sequence[float], nan: NanPolicy, level: float | None) -> MetricResult:
    values = np.array(found, np.float64)
    undefined = np.isnan(values)
    kept = values[~undefined] if nan == "omit" else np.where(undefined, 0.0, values) if nan == "zero" else values
    interval = bootstrap_interval(lambda scenes: kept[scenes].mean(), len(kept), level) if level is not None else None
    with np.errstate(invalid="ignore"):  # an infinite score has no spread
        mean, std = (float(kept.mean()), float(kept.std())) if len(kept) else (math.nan, math.nan)
    return _result(metric, mean, std, len(kept), int(undefined.sum()), interval)


def _pooled(metric: Metric, found: Sequence[Any], level: float | None) -> MetricResult:
    interval = None
    if level is not None:
        interval = bootstrap_interval(lambda scenes: pooled(metric, [found[i] for i in scenes]), len(found), level)
    return _result(metric, pooled(metric, found), math.nan, len(found), 0, interval)


def _result(
    metric: Metric, mean: float, std: float, scenes: int, undefined: int, interval: tuple[float, float] | None
) -> MetricResult:
    return MetricResult(
        metric=metric.name, label=metric.label, mean=mean, std=std, scenes=scenes, undefined=undefined,
        interval=interval, higher_is_better=metric.higher_is_better, scale=metric.scale,
    )  # fmt: skip
