"""What metrics of segments are made of: the contingency tables of several scenes, and what follows, once each.

`C[i, j]` counts the pixels with predicted label i and true id j; `a_i` and `b_j` are its row and column sums; a segment
is empty when its sum is 0; `IoU[i, j] = C[i, j] / (a_i + b_j - C[i, j])`. True id 0 is the background; the predicted
background has no special role.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from ocbench.scene import Outcome


@dataclass(frozen=True)
class Pairs:
    """A matching of each scene: for every true slot j the predicted segment that it got, or none."""

    iou: np.ndarray  # float32 [B, K], of the pair; 0 without one
    dice: np.ndarray  # float64 [B, K], 2 C / (a + b) of the pair; 0 without one
    live: np.ndarray  # bool [B, K], whether a side of the pair is not empty


class Overlaps:
    """Contingency tables of B scenes, padded with empty segments to one shape. A scene's values depend on it alone."""

    def __init__(self, tables: Sequence[np.ndarray]) -> None:
        """`tables`: int64 [P, T] each, of any size."""
        rows, columns = (max(table.shape[axis] for table in tables) for axis in (0, 1))
        self.tables = np.zeros((len(tables), rows, columns), np.int64)  # [B, P, T]
        for place, table in enumerate(tables):
            self.tables[place, : table.shape[0], : table.shape[1]] = table
        self.sides = [max(table.shape) for table in tables]  # of each scene's own square table

    @cached_property
    def predicted(self) -> np.ndarray:
        """int64 [B, P]: pixels of each predicted segment."""
        return self.tables.sum(axis=2)

    @cached_property
    def true(self) -> np.ndarray:
        """int64 [B, T]: pixels of each true segment."""
        return self.tables.sum(axis=1)

    @cached_property
    def iou(self) -> np.ndarray:
        """float32 [B, P, T]: IoU of every predicted with every true segment, 0 where both are empty."""
        union = self.predicted[:, :, None] + self.true[:, None, :] - self.tables
        # Where both are empty, 0 / 1: cheaper than dividing under a mask, and the same in every other place.
        return self.tables.astype(np.float32) / np.maximum(union, 1).astype(np.float32)

    @cached_property
    def best(self) -> np.ndarray:
        """float32 [B, T]: the best IoU of each true segment with any predicted one."""
        return self.iou.max(axis=1)

    @cached_property
    def official(self) -> Pairs:
        """The published evaluators' matching: Hungarian on a square table, background and empty segments included.

        Segments without overlap are paired as SciPy's solver pairs them, which renaming predicted labels can change.
        """
        side = max(self.sides)
        square = np.zeros((len(self.sides), side, side), np.float32)
        square[:, : self.iou.shape[1], : self.iou.shape[2]] = self.iou
        chosen = np.tile(np.arange(side), (len(self.sides), 1))  # padding is matched with itself: never live
        for place, own in enumerate(self.sides):
            # Rows = true: ties fall as in the published code.
            chosen[place, :own] = linear_sum_assignment(square[place, :own, :own].T, maximize=True)[1]
        return self._pairs(chosen)

    @cached_property
    def tight(self) -> Pairs:
        """Matching of non-empty segments only: whether a pair is counted does not depend on names."""
        chosen = np.full(self.true.shape, -1)
        for place, table in enumerate(self.tables):
            rows, columns = np.flatnonzero(table.any(axis=1)), np.flatnonzero(table.any(axis=0))
            true, predicted = linear_sum_assignment(self.iou[place][np.ix_(rows, columns)].T, maximize=True)
            chosen[place, columns[true]] = rows[predicted]
        return self._pairs(chosen)

    @cached_property
    def objects(self) -> Pairs:
        """Matching of all predicted segments with the true objects alone, true id 0 left out beforehand."""
        chosen = np.full(self.true.shape, -1)
        for place, iou in enumerate(self.iou):
            true, predicted = linear_sum_assignment(iou[:, 1:].T, maximize=True)
            chosen[place, 1 + true] = predicted
        return self._pairs(chosen)

    def _pairs(self, chosen: np.ndarray) -> Pairs:
        """The pairs in which true slot j has the predicted segment `chosen[:, j]`, int64 [B, K]; -1 for none."""
        side = max(chosen.shape[1], self.tables.shape[1], self.tables.shape[2])
        scenes, slots = np.arange(len(chosen))[:, None], np.arange(chosen.shape[1])
        padded = np.zeros((len(chosen), side, side), np.int64)
        padded[:, : self.tables.shape[1], : self.tables.shape[2]] = self.tables
        there = chosen >= 0
        common = padded[scenes, chosen, slots] * there
        both = padded.sum(axis=2)[scenes, chosen] * there + padded.sum(axis=1)[:, : chosen.shape[1]]
        iou = common.astype(np.float32) / np.maximum(both - common, 1).astype(np.float32)
        return Pairs(iou, 2 * common / np.maximum(both, 1), both > 0)


def overlaps_of(outcome: Outcome) -> Overlaps:
    """The overlaps of one scene, computed once and shared by every metric."""
    if "overlaps" not in outcome.derived:
        outcome.derived["overlaps"] = Overlaps([outcome.table])
    return outcome.derived["overlaps"]


class overlap_score:
    """Makes a function of `Overlaps` with a value or rows for each scene the `score` of a `Metric`.

    Called with an `Outcome` it gives that scene's value; `function` gives those of many scenes for little more.
    """

    def __init__(self, function: Callable[[Overlaps], Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function

    def __call__(self, outcome: Outcome) -> Any:
        return self.function(overlaps_of(outcome))[0]
