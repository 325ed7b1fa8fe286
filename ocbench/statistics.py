"""How sure a mean over scenes is."""

from __future__ import annotations

import numpy as np


def bootstrap_interval(
    values: np.ndarray, level: float = 95.0, resamples: int = 2000, seed: int = 0
) -> tuple[float, float] | None:
    """The percentile bootstrap interval of the mean of `values` (float64 [n], finite); None for fewer than two."""
    if values.size < 2:
        return None
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    for start in range(0, resamples, 100):  # in blocks: memory stays small for any number of scenes
        picks = generator.integers(0, values.size, (min(100, resamples - start), values.size))
        means[start : start + 100] = values[picks].mean(axis=1)
    low, high = np.percentile(means, [(100 - level) / 2, (100 + level) / 2])
    return float(low), float(high)
