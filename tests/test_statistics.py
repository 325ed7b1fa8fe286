"""Intervals as wide as they have to be, paired differences, spread over seeds, gaps in deviations: by hand."""

import numpy as np
import pytest

from ocbench import statistics
from ocbench.statistics import (
    bootstrap_interval,
    gap_in_deviations,
    paired_difference,
    paired_pooled_difference,
    spread_over_seeds,
)


def interval(values, level=95.0, **options):
    return bootstrap_interval(lambda scenes: values[scenes].mean(1), len(values), level, **options)


def test_an_interval_is_a_function_of_values_and_seed(random):
    values = random.random(50)
    assert interval(values) == interval(values)
    assert interval(values) != interval(values, seed=1)


@pytest.mark.parametrize("block", [1, 50 * 7, 10**6])
def test_an_interval_is_that_of_one_resample_after_the_other(block, random, monkeypatch):
    monkeypatch.setattr(statistics, "BLOCK", block)
    values, drawn = random.random(50), np.random.default_rng(0)
    means = [values[drawn.integers(0, 50, 50)].mean() for _ in range(statistics.RESAMPLES)]
    assert interval(values) == tuple(np.percentile(means, [2.5, 97.5]))


def test_an_interval_encloses_the_mean_and_grows_with_the_level(random):
    values = random.random(50)
    wide, narrow = interval(values, 99), interval(values, 50)
    assert wide[0] < narrow[0] < values.mean() < narrow[1] < wide[1]


def test_it_is_as_wide_as_the_normal_interval_of_a_mean(random):
    values = random.normal(3, 2, 400)
    low, high = interval(values)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.02)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.06)


def test_it_covers_the_truth_as_often_as_it_says(random):
    hits = sum(low < 0.5 < high for low, high in (interval(random.random(30), 80) for _ in range(100)))
    assert 68 < hits < 90


def test_equal_values_leave_no_doubt():
    assert interval(np.full(9, 0.25)) == (0.25, 0.25)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, np.nan, 0.2], [np.inf, 1.0]])
def test_too_few_or_undefined_values_have_no_interval(values):
    assert interval(np.array(values)) is None


def test_a_paired_difference_by_hand():
    found = paired_difference(
        np.array([0.5, 0.2, 0.4, np.nan, 0.1]), np.array([0.7, 0.1, 0.4, 0.9, np.nan]), higher_is_better=True
    )
    assert (found.first, found.second) == pytest.approx((1.1 / 3, 1.2 / 3))
    assert found.difference == pytest.approx(0.1 / 3)
    assert (found.scenes, found.undefined) == (3, 2)
    assert (found.won, found.lost, found.tied) == (1, 1, 1)


def test_less_is_won_where_lower_is_better():
    found = paired_difference(np.array([3.0, 2.0, 1.0]), np.array([1.0, 1.0, 1.0]), higher_is_better=False)
    assert (found.won, found.lost, found.tied) == (2, 0, 1)
    assert found.difference == -1.0


def test_pairing_takes_out_what_makes_a_scene_hard_for_both(random):
    hard = random.normal(0.5, 0.3, 200)
    better = hard + random.normal(0.02, 0.01, 200)
    paired = paired_difference(hard, better, higher_is_better=True)
    low, high = paired.interval
    assert 0 < low < paired.difference < high
    alone = interval(better)
    assert high - low < (alone[1] - alone[0]) / 10


def test_a_run_against_itself_differs_in_nothing(random):
    values = random.random(20)
    found = paired_difference(values, values, higher_is_better=True)
    assert (found.difference, found.interval, found.tied) == (0.0, (0.0, 0.0), 20)


def test_nothing_to_pair_is_undefined_not_zero():
    found = paired_difference(np.array([np.nan]), np.array([1.0]), higher_is_better=True)
    assert np.isnan(found.difference)
    assert (found.scenes, found.undefined, found.interval) == (0, 1, None)


def precision(rows):
    return rows[:, 0].sum() / rows[:, 1].sum()


def test_a_pooled_difference_is_of_the_pooled_values():
    first = [np.array([[1.0, 1.0]]), np.array([[0.0, 3.0]]), np.zeros((0, 2))]
    second = [np.array([[1.0, 1.0]]), np.array([[3.0, 3.0], [0.0, 4.0]]), np.array([[1.0, 2.0]])]
    found = paired_pooled_difference(first, second, precision)
    assert (found.first, found.second) == (0.25, 0.5)
    assert found.difference == 0.25
    assert (found.won, found.scenes) == (None, 3)
    assert found.interval is None  # a resample of the third scene alone has no value


def test_the_interval_of_a_pooled_difference_is_over_scenes(random):
    first = [np.array([[hits, 10.0]]) for hits in random.integers(2, 6, 60)]
    second = [rows + np.array([1.0, 0.0]) for rows in first]
    found = paired_pooled_difference(first, second, precision)
    assert found.interval == pytest.approx((0.1, 0.1))
    shuffled = [second[scene] for scene in random.permutation(60)]
    low, high = paired_pooled_difference(first, shuffled, precision).interval
    assert low < 0.1 < high
    assert high - low > 0.02


def test_spread_over_seeds_names_its_ddof():
    assert spread_over_seeds([1.0, 2.0, 3.0]) == pytest.approx((2 / 3) ** 0.5)
    assert spread_over_seeds([1.0, 2.0, 3.0], ddof=1) == pytest.approx(1.0)
    assert spread_over_seeds([1.0]) is None
    assert spread_over_seeds([1.0], ddof=1) is None


def test_a_gap_is_counted_in_published_deviations():
    assert gap_in_deviations(72.61, 73.07, 0.65) == pytest.approx(-0.46 / 0.65)
    assert gap_in_deviations(72.61, 73.07, None) is None
    assert gap_in_deviations(72.61, 73.07, 0.0) is None
