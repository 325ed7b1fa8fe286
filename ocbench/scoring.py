"""From outcomes to rows, and from rows to results: the one place where metrics are averaged and NaN is treated."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ocbench.errors import UsageError
from ocbench.metrics.overlaps import Overlaps, overlap_score
from ocbench.runs import MetricResult
from ocbench.scene import Metric, Outcome
from ocbench.slices import object_facts
from ocbench.statistics import bootstrap_interval

DEFAULT_METRICS = ("miou", "miou_fg", "ari_fg", "msc_fg", "mse")
NanPolicy = Literal["omit", "propagate", "zero"]


def scores_of(
    outcomes: Sequence[Outcome], metrics: Sequence[Metric], overlaps: Overlaps | None = None
) -> list[dict[str, Any]]:
    """For each outcome every metric that it allows: a number, or the rows of a pooled one as lists.

    One that needs a reconstruction or confidences is left out where there are none. What all scenes share in cost is
    computed for all of them at once (`overlaps`, where they are known); the values are those of each scene alone.
    """
    found: list[dict[str, Any]] = [{} for _ in outcomes]
    overlaps = overlaps or Overlaps([outcome.table for outcome in outcomes])
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


def pooled(metric: Metric, scenes: Iterable[Sequence[Sequence[float]]]) -> float:
    """The value of a pooled metric over the rows of all scenes; NaN where there is no row."""
    column = _Rows()
    for scene in scenes:
        column.add(scene)
    return column.value(metric, None)


def scene_rows(outcomes: Sequence[Outcome], metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """The lines of the per-scene file: key, scores, numbers of segments, flags, and the best IoU of each object."""
    overlaps = Overlaps([outcome.table for outcome in outcomes])
    segments = np.count_nonzero(overlaps.predicted, axis=1).tolist()
    rows = []
    for place, (outcome, scores) in enumerate(zip(outcomes, scores_of(outcomes, metrics, overlaps), strict=True)):
        pixels, best = overlaps.true[place].tolist(), overlaps.best[place].tolist()
        ids = [i for i, count in enumerate(pixels) if count and i]
        facts = object_facts(outcome.scene)
        rows.append({
            "key": outcome.scene.key,
            **scores,
            "objects": len(ids),
            "segments": segments[place],
            "flags": [] if len(ids) > 1 else ["one_object"] if ids else ["no_foreground"],
            "per_object": [{"id": i, "pixels": pixels[i], "best_iou": round(best[i], 6)} | facts[i] for i in ids],
        })  # fmt: skip
    return rows


class Columns:
    """The rows of an evaluation, one number a scene and metric, so that memory stays small however many scenes."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.scenes, self.flags = 0, Counter[str]()
        self.metrics = metrics
        self._numbers = {metric.name: array("d") for metric in metrics if metric.pool is None}
        self._rows = {metric.name: _Rows() for metric in metrics if metric.pool is not None}

    def add(self, row: Mapping[str, Any]) -> None:
        """Takes up one line of the per-scene file."""
        self.scenes += 1
        self.flags.update(row.get("flags", ()))
        for name, numbers in self._numbers.items():
            if name in row:
                numbers.append(row[name])
        for name, rows in self._rows.items():
            if name in row:
                rows.add(row[name])

    def results(self, nan: NanPolicy = "omit", level: float | None = 95.0) -> tuple[MetricResult, ...]:
        """One result per metric: the unweighted mean over scenes, or the pooled value, with its bootstrap interval.

        NaN scores are left out and counted (`omit`), make the mean NaN (`propagate`) or count as 0 (`zero`). A metric
        that no row has is left out; one that only some have is an error: its mean would be over other scenes.
        """
        found = []
        for metric in self.metrics:
            column = self._numbers[metric.name] if metric.pool is None else self._rows[metric.name]
            if len(column) not in (0, self.scenes):
                raise UsageError(
                    f"'{metric.name}' is not there for every scene", expected=f"{self.scenes}", found=f"{len(column)}"
                )
            if isinstance(column, _Rows) and len(column):
                found.append(_pooled(metric, column, level))
            elif len(column):
                found.append(_averaged(metric, np.array(column), nan, level))
        return tuple(found)


class _Rows:
    """What a pooled metric keeps of every scene: some rows of numbers each."""

    def __init__(self) -> None:
        self._values, self._lengths, self._width = array("d"), array("q"), 0

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, rows: Sequence[Sequence[float]]) -> None:
        self._lengths.append(len(rows))
        for row in rows:
            self._width = len(row)
            self._values.extend(row)

    def value(self, metric: Metric, scenes: np.ndarray | None) -> float:
        """The metric over the rows of `scenes`, int64 [n], with repetition; None: of all. NaN where there is no row."""
        if metric.pool is None or not self._values:
            return math.nan
        rows, lengths = np.asarray(self._values).reshape(-1, self._width), np.asarray(self._lengths)
        if scenes is not None:
            starts, counts = (np.cumsum(lengths) - lengths)[scenes], lengths[scenes]
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            rows = rows[np.repeat(starts, counts) + within]
        return float(metric.pool(rows)) if len(rows) else math.nan


def summarise(
    rows: Iterable[Mapping[str, Any]], metrics: Sequence[Metric], *, nan: NanPolicy = "omit",
    level: float | None = 95.0,
) -> tuple[MetricResult, ...]:  # fmt: skip
    """The results of rows that are all at hand; see `Columns.results`."""
    columns = Columns(metrics)
    for row in rows:
        columns.add(row)
    return columns.results(nan, level)


def _averaged(metric: Metric, values: np.ndarray, nan: NanPolicy, level: float | None) -> MetricResult:
    undefined = np.isnan(values)
    kept = values[~undefined] if nan == "omit" else np.where(undefined, 0.0, values) if nan == "zero" else values
    interval = bootstrap_interval(lambda scenes: kept[scenes].mean(1), len(kept), level) if level is not None else None
    with np.errstate(invalid="ignore"):  # an infinite score has no spread
        mean, std = (float(kept.mean()), float(kept.std())) if len(kept) else (math.nan, math.nan)
    return _result(metric, mean, std, len(kept), int(undefined.sum()), interval)


def _pooled(metric: Metric, column: _Rows, level: float | None) -> MetricResult:
    interval = None
    if level is not None:
        interval = bootstrap_interval(
            lambda resamples: np.array([column.value(metric, scenes) for scenes in resamples]), len(column), level
        )
    return _result(metric, column.value(metric, None), math.nan, len(column), 0, interval)


def _result(
    metric: Metric, mean: float, std: float, scenes: int, undefined: int, interval: tuple[float, float] | None
) -> MetricResult:
    return MetricResult(
        metric=metric.name, label=metric.label, mean=mean, std=std, scenes=scenes, undefined=undefined,
        interval=interval, higher_is_better=metric.higher_is_better, scale=metric.scale,
    )  # fmt: skip
