"""Rows of scenes and their means: which scenes count, what is undefined, and how sure the mean is."""

import json
import math

import numpy as np
import pytest

from ocbench import Metric, Outcome, Scene, UsageError
from ocbench.metrics.reconstruction import MSE
from ocbench.metrics.segmentation import MIOU, MIOU_FG
from ocbench.scoring import scene_rows, summarise

SHARE = Metric("share", "Share", score=lambda outcome: math.nan, scale=100)
HITS = Metric(  # pooled: hits over trials of the whole set
    "hits", "Hits", score=lambda outcome: [[(outcome.labels == label).sum(), 8] for label in np.unique(outcome.labels)],
    pool=lambda rows: rows[:, 0].sum() / rows[:, 1].sum(),
)  # fmt: skip


def outcome(mask, labels, reconstruction=None):
    mask, labels = (np.array(rows, np.uint8) for rows in (mask, labels))
    return Outcome(Scene("scene-1", np.zeros((*mask.shape, 3), np.uint8), mask), labels, reconstruction)


def scene_row(case, metrics):
    return scene_rows([case], metrics)[0]


def test_a_row_holds_scores_counts_and_the_best_match_of_each_object():
    row = scene_row(outcome([[0, 0, 2, 2], [0, 0, 7, 7]], [[0, 0, 1, 1], [0, 3, 3, 3]]), [MIOU, MIOU_FG, MSE])
    assert json.loads(json.dumps(row)) == row
    for found in row["per_object"]:
        assert {"border", "contact"} <= set(found)  # facts of tests/test_slices.py
    row["per_object"] = [{name: found[name] for name in ("id", "pixels", "best_iou")} for found in row["per_object"]]
    assert row == {
        "key": "scene-1",
        "miou": pytest.approx((0.75 + 1 + 2 / 3) / 3),
        "miou_fg": pytest.approx((1 + 2 / 3) / 2),
        "objects": 2,
        "segments": 3,
        "flags": [],
        "per_object": [{"id": 2, "pixels": 2, "best_iou": 1.0}, {"id": 7, "pixels": 2, "best_iou": 0.666667}],
    }


@pytest.mark.parametrize(("mask", "flags"), [([[0, 0]], ["no_foreground"]), ([[0, 4]], ["one_object"]), ([[1, 4]], [])])
def test_scenes_that_a_convention_decides_are_flagged(mask, flags):
    assert scene_row(outcome(mask, [[0, 1]]), [MIOU])["flags"] == flags


def test_metrics_of_a_reconstruction_are_there_only_with_one():
    mask = [[0, 1]]
    assert "mse" not in scene_row(outcome(mask, mask), [MIOU, MSE])
    row = scene_row(outcome(mask, mask, np.ones((1, 2, 3), np.float32)), [MIOU, MSE])
    assert row["mse"] == 6


@pytest.mark.parametrize(("policy", "mean", "scenes"), [("omit", 0.6, 2), ("zero", 0.4, 3), ("propagate", math.nan, 3)])
def test_undefined_scores_are_counted_and_treated_as_asked(policy, mean, scenes):
    rows = [{"share": 0.4}, {"share": math.nan}, {"share": 0.8}]
    [result] = summarise(rows, [SHARE], nan=policy)
    assert result.mean == pytest.approx(mean, nan_ok=True)
    assert (result.scenes, result.undefined) == (scenes, 1)
    assert (result.interval is None) == math.isnan(mean)
    assert (result.metric, result.label, result.scale, result.higher_is_better) == ("share", "Share", 100, True)


def test_a_mean_is_unweighted_and_its_spread_that_of_the_scenes():
    [result] = summarise([{"share": value} for value in (0.2, 0.4, 0.9)], [SHARE])
    assert (result.mean, result.std) == pytest.approx((0.5, np.std([0.2, 0.4, 0.9])))
    assert result.interval[0] < 0.5 < result.interval[1]


def test_no_defined_score_gives_no_mean():
    [result] = summarise([{"share": math.nan}] * 2, [SHARE])
    assert math.isnan(result.mean)
    assert (result.scenes, result.undefined, result.interval) == (0, 2, None)


def test_an_infinite_score_is_neither_hidden_nor_made_finite():
    rows = [{"share": math.inf}, {"share": 1.0}, {"share": math.nan}]
    for policy in ("omit", "zero"):
        [result] = summarise(rows, [SHARE], nan=policy)
        assert result.mean == math.inf
        assert result.interval is None


def test_a_metric_that_no_scene_has_is_left_out_and_one_of_some_is_an_error():
    rows = [{"miou": 1.0, "mse": 2.0}, {"miou": 0.5}]
    assert [result.metric for result in summarise(rows, [MIOU, SHARE])] == ["miou"]
    with pytest.raises(UsageError, match=r"'mse' is not there for every scene\n  expected  2\n  found     1"):
        summarise(rows, [MIOU, MSE])


def test_a_pooled_metric_pools_the_rows_of_all_scenes():
    rows = [scene_row(outcome([[0] * 4] * 2, labels), [HITS]) for labels in ([[0, 0, 1, 1]] * 2, [[0, 0, 0, 0]] * 2)]
    rows = json.loads(json.dumps(rows))
    assert [row["hits"] for row in rows] == [[[4, 8], [4, 8]], [[8, 8]]]
    [result] = summarise(rows, [HITS])
    assert result.mean == pytest.approx(16 / 24)
    assert result.interval == pytest.approx((0.5, 1))
    [nothing] = summarise([{"hits": []}, {"hits": []}], [HITS])
    assert math.isnan(nothing.mean)
    assert nothing.interval is None


def test_no_interval_where_none_is_wanted():
    [result] = summarise([{"share": 0.1}, {"share": 0.2}], [SHARE], level=None)
    assert result.interval is None
