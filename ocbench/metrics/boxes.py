"""Tight boxes around segments, and how well those of true objects are met by those of predicted segments."""

from __future__ import annotations

import numpy as np

from ocbench.scene import Outcome


def tight_boxes(labels: np.ndarray) -> np.ndarray:
    """int64 [N, 4]: first and last row, first and last column of each label in uint8 [H, W] that is there, in order."""
    found = []
    for label in np.flatnonzero(np.bincount(labels.ravel())):
        there = labels == label
        rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
        found.append((rows[0], rows[-1], columns[0], columns[-1]))
    return np.array(found, np.int64).reshape(-1, 4)


def box_iou(one: np.ndarray, other: np.ndarray, border: int) -> np.ndarray:
    """float64 [N, M]: IoU of boxes [N, 4] and [M, 4]; `border` 1 counts the last row and column, 0 does not.

    NaN for two boxes without area.
    """

    def overlap(first: int, last: int) -> np.ndarray:
        start = np.maximum(one[:, None, first], other[None, :, first])
        return (np.minimum(one[:, None, last], other[None, :, last]) - start + border).clip(min=0)

    common = overlap(0, 1) * overlap(2, 3)
    areas = [(boxes[:, 1] - boxes[:, 0] + border) * (boxes[:, 3] - boxes[:, 2] + border) for boxes in (one, other)]
    with np.errstate(invalid="ignore"):
        return common / (areas[0][:, None] + areas[1][None, :] - common)


def box_best(outcome: Outcome) -> np.ndarray:
    """float64 [objects]: the best IoU of each true object's box with the box of any predicted segment."""
    return _best(outcome, 1)


def box_best_exclusive(outcome: Outcome) -> np.ndarray:
    """The same in the arithmetic of OCLF, where a box ends at the index of its last pixel; 0 for one without area."""
    return np.nan_to_num(_best(outcome, 0), nan=0.0)


def _best(outcome: Outcome, border: int) -> np.ndarray:
    mask = outcome.scene.mask
    true = tight_boxes(mask)
    if (mask == 0).any():
        true = true[1:]
    if not len(true):
        return np.zeros(0)
    return np.fmax.reduce(box_iou(tight_boxes(outcome.labels), true, border), axis=0)
