"""From outcomes to rows, and from rows to results: the one place where metrics are averaged and NaN is treated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ocbench.errors import UsageError
from ocbench.metrics.overlaps import Overlaps, overlap_score
from ocbench.runs import MetricResult
from ocbench.scene import Metric, Outcome
from ocbench.statistics import bootstrap_interval

DEFAULT_METRICS = ("miou", "miou_fg", "ari_fg", "msc_fg", "mse")
NanPolicy = Literal["omit", "propagate", "zero"]


def scores_of(outcomes: Sequence[Outcome], metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """For each outcome every metric that it allows: a number, or the rows of a pooled one as lists.

    One that needs a reconstruction or confidences is left out where there are none. What all scenes share in cost is
    computed for all of them at once; the values are those of each scene alone.
    """
    found: list[dict[str, Any]] = [{} for _ in outcomes]
    overlaps = Overlaps([outcome.table for outcome in outcomes])
    for metric in metrics:
        if isinstance(metric.score, overlap_score):
            values = metric.score.function(overlaps)
        else:
            values = [metric.score(outcome) if _allows(outcome, metric) else None for outcome in outcomes]
        for row, outcome, value in zip(found, outcomes, values, strict=True):
            if _allows(outcome, metric):
                row[metric.name] = float(value) if metric.pool is None else np.asarray(value).tolist()
    return found


def _allows(outcome: Outcome, metric: Metric) -> bool:
    return not (
        (metric.needs_reconstruction and outcome.reconstruction is None)
        or (metric.needs_confidences and outcome.confidences is None)
    )


def pooled(metric: Metric, scenes: Sequence[Sequence[Sequence[float]]]) -> float:
    """The value of a pooled metric over the rows of all scenes; NaN where there is no row."""
    rows = [row for scene in scenes for row in scene]
    return float(metric.pool(np.array(rows, np.float64))) if metric.pool and rows else math.nan


def scene_rows(outcomes: Sequence[Outcome], metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """The lines of the per-scene file: key, scores, numbers of segments, flags, and the best IoU of each object."""
    overlaps = Overlaps([outcome.table for outcome in outcomes])
    segments = np.count_nonzero(overlaps.predicted, axis=1).tolist()
    rows = []
    for place, (outcome, scores) in enumerate(zip(outcomes, scores_of(outcomes, metrics), strict=True)):
        pixels, best = overlaps.true[place].tolist(), overlaps.best[place].tolist()
        ids = [i for i, count in enumerate(pixels) if count and i]
        rows.append({
            "key": outcome.scene.key,
            **scores,
            "objects": len(ids),
            "segments": segments[place],
            "flags": [] if len(ids) > 1 else ["one_object"] if ids else ["no_foreground"],
            "per_object": [{"id": i, "pixels": pixels[i], "best_iou": round(best[i], 6)} for i in ids],
        })  # fmt: skip
    return rows


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
