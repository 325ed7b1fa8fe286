"""How sure a number over scenes or over seeds is, and how far it lies from another one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
BLOCK = 2**20  # indices drawn at once: 8 MiB of them


def bootstrap_interval(
    statistic: Callable[[np.ndarray], np.ndarray], scenes: int, level: float, seed: int = 0
) -> tuple[float, float] | None:
    """The percentile bootstrap interval, in per cent `level`, of a statistic of scenes.

    `statistic` gets the scenes of some resamples as indices, int64 [resamples, scenes], and gives its value of each,
    float64 [resamples]. None for fewer than two scenes, and where the statistic of a resample is not finite.
    """
    if scenes < 2:
        return None
    random = np.random.default_rng(seed)
    block = max(1, BLOCK // scenes)
    shapes = [(min(block, RESAMPLES - start), scenes) for start in range(0, RESAMPLES, block)]
    found = np.concatenate([statistic(random.integers(0, scenes, shape)) for shape in shapes])
    if not np.isfinite(found).all():
        return None
    low, high = np.percentile(found, [(100 - level) / 2, (100 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class PairedDifference:
    """Second minus first over the same scenes, in the unit of the scores."""

    first: float  # mean, or pooled value, of the scenes that count
    second: float
    difference: float
    interval: tuple[float, float] | None  # bootstrap over scenes, both sides resampled together
    scenes: int  # that count
    undefined: int = 0  # left out: NaN on either side
    won: int | None = None  # scenes where the second is better; None where a scene has no value of its own
    lost: int | None = None
    tied: int | None = None  # equal to the last bit


def paired_difference(
    first: np.ndarray, second: np.ndarray, *, higher_is_better: bool, level: float = 95.0
) -> PairedDifference:
    """The mean difference of two float64 [scenes] of the same scenes in the same order; NaN on either side is left out.

    Its interval is narrower than two intervals side by side, because what makes a scene hard for both cancels.
    """
    kept = ~(np.isnan(first) | np.isnan(second))
    one, two = first[kept], second[kept]
    if not len(one):
        return PairedDifference(math.nan, math.nan, math.nan, None, 0, len(first), 0, 0, 0)
    with np.errstate(invalid="ignore"):  # an infinite score on both sides has no difference
        differences = two - one
        interval = bootstrap_interval(lambda scenes: differences[scenes].mean(1), len(differences), level)
        mean = float(differences.mean())
    above, below = int((two > one).sum()), int((two < one).sum())
    won, lost = (above, below) if higher_is_better else (below, above)
    return PairedDifference(
        float(one.mean()), float(two.mean()), mean, interval, len(one), len(first) - len(one),
        won, lost, len(one) - won - lost,
    )  # fmt: skip


def paired_pooled_difference(
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    pool: Callable[[np.ndarray], float],
    *,
    level: float = 95.0,
) -> PairedDifference:
    """The difference of a value pooled over scenes; each scene gives float64 [rows, columns], and may give no row.

    No scene has a value of its own, hence none is won or lost. Without any row the value is NaN.
    """

    def pooled(side: Sequence[np.ndarray], scenes: Sequence[int] | np.ndarray) -> float:
        rows = [side[scene] for scene in scenes if len(side[scene])]
        return float(pool(np.concatenate(rows))) if rows else math.nan

    everything = range(len(first))
    one, two = pooled(first, everything), pooled(second, everything)

    def difference(resamples: np.ndarray) -> np.ndarray:
        return np.array([pooled(second, scenes) - pooled(first, scenes) for scenes in resamples])

    interval = bootstrap_interval(difference, len(first), level)
    return PairedDifference(one, two, two - one, interval, len(first))


def spread_over_seeds(values: Sequence[float] | np.ndarray, ddof: int = 0) -> float | None:
    """The standard deviation over seeds: of the population (ddof=0), or the estimate from a sample (ddof=1).

    None for fewer than two seeds: one seed says nothing of how seeds differ.
    """
    return float(np.std(values, ddof=ddof)) if len(values) > 1 else None


def gap_in_deviations(value: float, mean: float, std: float | None) -> float | None:
    """How many of the published standard deviations a value lies above the published mean; None without any spread."""
    return (value - mean) / std if std else None
