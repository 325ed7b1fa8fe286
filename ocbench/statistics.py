"""How sure a number over scenes is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RESAMPLES = 2000


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float], scenes: int, level: float, seed: int = 0
) -> tuple[float, float] | None:
    """The percentile bootstrap interval, in per cent `level`, of a statistic of scenes.

    `statistic` gets the scenes of one resample as indices, int64 [scenes]. None for fewer than two scenes, and where
    the statistic of a resample is not finite.
    """
    if scenes < 2:
        return None
    random = np.random.default_rng(seed)
    found = np.array([statistic(random.integers(0, scenes, scenes)) for _ in range(RESAMPLES)])
    if not np.isfinite(found).all():
        return None
    low, high = np.percentile(found, [(100 - level) / 2, (100 + level) / 2])
    return float(low), float(high)
