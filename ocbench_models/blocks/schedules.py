"""What changes over the updates: learning rates, and coefficients of a loss. Free of torch until a tensor comes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class WarmupThenDecay:
    """Learning-rate multiplier min(1, t / warmup) x factor^(t / every), t = n - 1 updates already done.

    The rate of the very first update is 0, and the decay is at work during the warm-up too, as in the Slot Attention
    paper and in all that follow it.
    """

    warmup: int  # updates
    factor: float = 0.5
    every: int = 100_000  # updates

    def __call__(self, n: int) -> float:
        done = n - 1
        return min(1.0, done / self.warmup) * self.factor ** (done / self.every)


def linear_ramp(clock: Tensor, first: int, last: int, start: float, end: float) -> Tensor:
    """float32 scalar: `start` up to the clock `first`, `end` from the clock `last` on, a straight line between."""
    share = ((clock - first) / (last - first)).clamp(0, 1)
    return start + (end - start) * share
