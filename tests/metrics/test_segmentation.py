"""Segmentation metrics on label maps that one can check by hand, and against slow literal definitions."""

import itertools
import json
import math
from pathlib import Path

import literal_metrics
import numpy as np
import pytest
from golden_arrays import golden
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays
from literal_metrics import LITERAL, NAMELESS, Case

from ocbench import Outcome, Scene, registry
from ocbench.metrics.clustering import ari_fg
from ocbench.metrics.covering import msc_fg
from ocbench.metrics.overlaps import Overlaps
from ocbench.metrics.segmentation import (
    miou,
    miou_fg,
    miou_fg_exact,
    miou_fg_official,
    miou_tight,
    miou_union,
)
from ocbench.scoring import pooled, scores_of

METRICS = {name: registry.metric(name) for name in LITERAL}
exact = settings(max_examples=150)


def outcome(mask, labels):
    """The outcome of two label maps, given as arrays or as rows of digits."""
    mask, labels = (
        np.array([[int(digit) for digit in row] for row in rows.split()], np.uint8) if isinstance(rows, str) else rows
        for rows in (mask, labels)
    )
    return Outcome(Scene("scene", np.zeros((*mask.shape, 3), np.uint8), mask), labels)


# -- by hand -----------------------------------------------------------------------------------------------------------

CASES = {  # mask, labels -> miou, miou_fg, ari_fg, msc_fg
    "perfect": ("0011 0022", "0011 0022", (1, 1, 1, 1)),
    "perfect under other names": ("0011 0022", "3311 3300", (1, 1, 1, 1)),
    "gaps in the true ids": ("0055 0077", "0011 0022", (1, 1, 1, 1)),
    "nothing predicted": ("0011 0022", "0000 0000", (0.5 / 3, 0, 0, 0.25)),
    "the background takes nothing": ("0011 0022", "1111 1111", (0.5 / 3, 0, 0, 0.25)),
    "no foreground, nothing predicted": ("0000", "0000", (1, math.nan, 1, 0)),
    "no foreground, one object predicted": ("0000", "0001", (0.75 / 2, 0, 1, 0)),
    "one object, found": ("0011", "0011", (1, 1, 1, 1)),
    "one object, missed": ("0011", "0000", (0.5 / 2, 0, 1, 0.5)),
    "one object, split": ("0011", "0012", (1.5 / 3, 0.5 / 2, 0, 0.5)),
    "more predicted segments than objects": ("0011", "0123", (1 / 4, 0.5 / 3, 0, 0.5)),
    "a matched pair without overlap": ("0012", "1100", (1.5 / 3, 0.5 / 2, 0, 0.5)),
    "all is foreground, found": ("1122", "1122", (1, 2, 1, 1)),
    "all is foreground, one object": ("1111", "1111", (1, math.nan, 1, 1)),
    "one pixel": ("1", "0", (1, math.nan, 1, 1)),
}


@pytest.mark.parametrize("case", CASES)
def test_values_by_hand(case):
    mask, labels, expected = CASES[case]
    found = [metric(outcome(mask, labels)) for metric in (miou, miou_fg, ari_fg, msc_fg)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("mask", "labels", "official", "counted"),
    [
        ("1111", "1111", math.inf, 1),
        ("1122", "1122", 2, 1),
        ("1122", "0000", 0.5, 0.25),
        ("0000", "0000", math.nan, math.nan),
        ("0011", "0012", 0.25, 0.25),
    ],
)
def test_the_dialects_of_miou_fg_differ_only_where_the_background_is_no_live_pair(mask, labels, official, counted):
    case = outcome(mask, labels)
    np.testing.assert_allclose([miou_fg_official(case), miou_fg_exact(case)], [official, counted])


@pytest.mark.parametrize(("labels", "official"), [("00010", 0.3), ("00020", 0.2), ("22202", 0.2), ("22212", 0.3)])
def test_a_name_decides_the_official_pairing_but_neither_dialect(labels, official):
    case = outcome("00001", labels)  # IoU 3/5 is matched; a true and a predicted segment remain that do not overlap
    assert [miou(case), miou_union(case), miou_tight(case)] == pytest.approx([official, 0.6 / 3, 0.6 / 2])


@pytest.mark.parametrize(("true", "predicted"), [(0, 255), (255, 0), (255, 255), (0, 0)])
def test_every_label_of_a_byte_counts(true, predicted):
    mask, labels = np.full((2, 3), true, np.uint8), np.full((2, 3), predicted, np.uint8)
    case = outcome(mask, labels)
    assert case.table.shape == (predicted + 1, true + 1)
    assert case.table[predicted, true] == 6
    assert miou(case) == 1


def test_the_rand_index_is_exact_beyond_64_bits(random):
    mask = random.integers(1, 11, (512, 512)).astype(np.uint8)
    labels = np.where(random.random(mask.shape) < 0.8, mask, 0).astype(np.uint8)
    assert ari_fg(outcome(mask, labels)) == pytest.approx(literal_metrics.ari_fg(Case(mask, labels)), abs=1e-15)


# -- against slow literal definitions ----------------------------------------------------------------------------------


def fast(maps, name):
    metric = METRICS[name]
    [row] = scores_of([outcome(*maps)], [metric])
    return pooled(metric, [row[name]]) if metric.pool else row[name]


@some.composite
def label_maps(draw, most=24):
    """A mask and labels of one size that share some of their structure."""
    shape = draw(some.tuples(some.integers(1, 7), some.integers(1, 7)))
    true, predicted = draw(some.integers(1, most)), draw(some.integers(1, most))
    mask = draw(arrays(np.uint8, shape, elements=some.integers(0, true - 1)))
    labels = draw(arrays(np.uint8, shape, elements=some.integers(0, predicted - 1)))
    kept = draw(arrays(bool, shape))
    return mask, np.where(kept, labels, np.minimum(mask, predicted - 1)).astype(np.uint8)


@given(label_maps())
@exact
def test_scores_equal_their_literal_definitions(maps):
    case = Case(*maps)
    for name, slow in LITERAL.items():
        expected = slow(case)
        if name == "miou_fg" and not math.isfinite(miou_fg_official(outcome(*maps))):
            expected = math.nan
        if name == "dice_fg" and math.isnan(miou_fg(outcome(*maps))):
            expected = math.nan
        assert fast(maps, name) == pytest.approx(expected, abs=1e-6, nan_ok=True), name


def test_scores_equal_the_stored_literal_ones():
    stored = json.loads((Path(__file__).parent / "golden.json").read_text())
    cases = golden("metrics.npz")
    names = list(cases["a_names"])
    assert len(stored) > 10
    for name, scores in stored.items():
        place = names.index(name)
        maps = cases["a_true"][place], cases["a_pred"][place]
        assert set(scores) == set(LITERAL)
        found = {metric: fast(maps, metric) for metric in scores}
        assert found == pytest.approx(scores, abs=1e-6, nan_ok=True), name


@given(label_maps(most=5))
@exact
def test_the_matching_is_the_best_of_all(maps):
    mask, labels = maps
    true, predicted = sorted(set(mask.flat)), sorted(set(labels.flat))
    slots = [*predicted, *[255] * len(true)]  # 255: unmatched
    case = Case(*maps)
    best = max(sum(float(case.iou(p, t)) for p, t in zip(order, true, strict=True) if p < 255)
               for order in set(itertools.permutations(slots, len(true))))  # fmt: skip
    assert miou_tight(outcome(*maps)) * max(len(true), len(predicted)) == pytest.approx(best, abs=1e-6)


@given(label_maps(), some.randoms(use_true_random=False))
@exact
def test_names_of_segments_do_not_matter(maps, shuffle):
    mask, labels = maps
    names, ids = list(range(24)), list(range(1, 24))
    shuffle.shuffle(names)
    shuffle.shuffle(ids)
    renamed = outcome(np.array([0, *ids], np.uint8)[mask], np.array(names, np.uint8)[labels])
    both = renamed.scene.mask, renamed.labels
    for name in NAMELESS:
        assert fast(both, name) == pytest.approx(fast(maps, name), abs=1e-6, nan_ok=True), name


@given(label_maps())
@exact
def test_union_and_tight_enclose_the_official_value(maps):
    case = outcome(*maps)
    assert 0 <= miou_union(case) <= miou(case) + 1e-7
    assert miou(case) <= miou_tight(case) + 1e-7 <= 1 + 2e-7


@given(label_maps())
@exact
def test_a_partition_against_itself_is_perfect(maps):
    case = outcome(maps[0], maps[0])
    assert [miou(case), miou_union(case), miou_tight(case), ari_fg(case)] == [1, 1, 1, 1]
    assert msc_fg(case) == (1 if maps[0].any() else 0)
    assert np.array_equal(np.diag(Overlaps([case.table]).iou[0]), (np.bincount(maps[0].ravel()) > 0).astype(np.float32))
