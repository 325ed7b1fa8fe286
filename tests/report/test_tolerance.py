"""Tolerances: worse by more than allowed, and never passed unseen."""

from __future__ import annotations

import math

import pytest
from scored_runs import scored

from ocbench.errors import RunError, UsageError
from ocbench.report import sections
from ocbench.report.tolerance import judged, tolerances_of


def verdicts(runs, tolerances, paper=False):
    return [one.worse for one in judged(sections(runs), runs, tolerances, paper)]


@pytest.mark.parametrize(
    ("metric", "value", "tolerance", "worse"),
    [
        ("miou", 0.79, 0.5, True),  # published: 79.58
        ("miou", 0.79, 0.6, False),
        ("miou", 0.90, 0.0, False),
        ("miou", math.nan, 50.0, True),
        ("mse", 145.0, 5.0, True),  # published: 139
        ("mse", 145.0, 6.0, False),
        ("mse", 100.0, 0.0, False),
    ],
)
def test_against_the_published_number(tmp_path, metric, value, tolerance, worse):
    assert verdicts([scored(tmp_path, "a-s0", {metric: value})], {metric: tolerance}, paper=True) == [worse]


def test_against_the_first_run(tmp_path):
    runs = [scored(tmp_path, f"run{n}-s0", {"miou": value}) for n, value in enumerate((0.8, 0.79, 0.7))]
    assert verdicts(runs, {"miou": 2.0}) == [False, True]
    texts = [str(one) for one in judged(sections(runs), runs, {"miou": 2.0}, paper=False)]
    assert texts[1] == "run2-s0 on clevrtex:test@ast-paper: mIoU 70, 10 worse than 80 of run0-s0 (2 allowed)"


def test_what_nothing_can_be_held_against_does_not_pass(tmp_path):
    run = scored(tmp_path, "a-s0", {"miou": 0.9}, partial={"limit": 4})
    with pytest.raises(RunError, match="nothing to hold 'miou' of 'a-s0'") as caught:
        verdicts([run], {"miou": 1.0}, paper=True)
    assert "scored on a part of the split (limit 4)" in caught.value.found
    other = scored(tmp_path, "b-s0", {"miou": 0.9}, fingerprint="other pixels")
    with pytest.raises(RunError, match="nothing to hold 'miou' of 'b-s0'"):
        verdicts([run, other], {"miou": 1.0})
    with pytest.raises(RunError, match="nothing to hold 'dice'"):
        verdicts([scored(tmp_path, "c-s0", {"miou": 0.9})], {"dice": 1.0}, paper=True)
    with pytest.raises(UsageError, match="something to hold the run against"):
        verdicts([run], {"miou": 1.0})


@pytest.mark.parametrize("word", ["miou", "miou=", "=1", "miou=-1", "miou=nan", "miou=inf", "miou=x"])
def test_words_that_cannot_be_meant(word):
    with pytest.raises(UsageError, match="--tolerance"):
        tolerances_of([word])


def test_words():
    assert tolerances_of(["miou=0.5", "mse@mean=0"]) == {"miou": 0.5, "mse@mean": 0.0}
