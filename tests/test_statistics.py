"""Bootstrap intervals: the same on every call, and as wide as they have to be."""

import numpy as np
import pytest

from ocbench.statistics import bootstrap_interval


def interval(values, level=95.0, **options):
    return bootstrap_interval(lambda scenes: values[scenes].mean(), len(values), level, **options)


def test_an_interval_is_a_function_of_values_and_seed(random):
    values = random.random(50)
    assert interval(values) == interval(values)
    assert interval(values) != interval(values, seed=1)


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
