"""Slices: facts of objects from pictures that are shown here, and means over groups of objects."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ocbench import Scene
from ocbench.slices import gap_interval, object_facts, object_slices

MASK = np.array(
    [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [0, 0, 0, 2, 3, 0],
        [0, 0, 0, 2, 3, 0],
        [0, 0, 0, 0, 0, 0],
    ],
    np.uint8,
)


def scene(meta=None, mask=MASK):
    return Scene("a-0", np.zeros((*mask.shape, 3), np.uint8), mask, meta or {})


def test_border_and_contact_come_from_the_mask():
    facts = object_facts(scene())
    assert facts == {
        1: {"border": True, "contact": 0.0},  # 4 sides within the picture, none with an object
        2: {"border": False, "contact": round(2 / 6, 4)},  # 6 sides, 2 of them with object 3
        3: {"border": False, "contact": round(2 / 6, 4)},
    }


def test_of_two_objects_that_touch_the_farther_one_is_occluded():
    objects = [{"label": i, "pixel_coords": [0, 0, depth]} for i, depth in ((1, 5.0), (2, 9.0), (3, 7.5))]
    facts = object_facts(scene({"objects": objects}))
    assert [facts[i]["occluded"] for i in (1, 2, 3)] == [0.0, round(2 / 6, 4), 0.0]


def test_an_object_whose_neighbour_has_no_depth_is_neither_occluded_nor_free():
    objects = [{"label": 2, "pixel_coords": [0, 0, 9.0]}, {"label": 3, "pixel_coords": [0, 0, None]}]
    facts = object_facts(scene({"objects": objects}))
    assert "occluded" not in facts[2]
    assert "occluded" not in facts[3]


def test_words_of_the_source_go_to_their_objects():
    labelled = [{"label": 3, "shape": "cube", "material": "Wood", "material_corrected": "wood", "size": 0.7}]
    assert object_facts(scene({"objects": labelled}))[3] == {
        "border": False, "contact": 0.3333, "shape": "cube", "material": "wood",
    }  # fmt: skip
    in_order = [{"shape": "ball"}, {"shape": "cone"}, {"shape": "cube"}]
    assert [facts["shape"] for facts in object_facts(scene({"objects": in_order})).values()] == ["ball", "cone", "cube"]


@pytest.mark.parametrize("objects", [None, "cube", [1, 2], 3, [{"label": "x", "shape": "cube"}], [{"shape": [1]}]])
def test_strange_metadata_give_no_words(objects):
    assert {name for facts in object_facts(scene({"objects": objects})).values() for name in facts} == {
        "border", "contact",
    }  # fmt: skip


def test_facts_are_json_and_one_a_true_object():
    assert json.loads(json.dumps(object_facts(scene()))).keys() == {"1", "2", "3"}
    assert object_facts(scene(mask=np.zeros((4, 4), np.uint8))) == {}
    whole = np.full((4, 4), 7, np.uint8)  # no side within the picture belongs to two labels
    assert object_facts(scene(mask=whole)) == {7: {"border": True, "contact": 0.0}}


def row(key, *objects):
    return {"key": key, "objects": len(objects), "per_object": list(objects)}


def one(best, pixels=100, **facts):
    return {"id": 1, "pixels": pixels, "best_iou": best, **facts}


def found(rows, name):
    return {cut.label: cut for slicing in object_slices(rows, 10_000) if slicing.name == name for cut in slicing.slices}


def test_a_slice_is_the_mean_over_its_objects_not_over_scenes():
    rows = [row("a", one(1.0), one(0.4), one(0.4)), row("b", one(0.2, shape="cube"), one(0.6, shape="cube"))]
    counts = found(rows, "count")
    assert list(counts) == ["2", "3"]
    assert counts["3"].mean == pytest.approx(0.6)
    assert (counts["3"].objects, counts["3"].scenes, counts["3"].interval) == (3, 1, None)
    shapes = found(rows, "shape")
    assert (list(shapes), shapes["cube"].objects) == (["cube"], 2)
    assert shapes["cube"].mean == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("pixels", "label"),
    [(99, "under 1 %"), (100, "1 to 2 %"), (399, "2 to 4 %"), (400, "4 to 8 %"), (800, "8 % and more")],
)
def test_size_is_a_share_of_the_picture_and_a_bound_belongs_to_the_larger(pixels, label):
    assert list(found([row("a", one(0.5, pixels))], "size")) == [label]


def test_bins_are_in_order_and_facts_that_nobody_has_are_left_out():
    rows = [row("a", one(0.1, contact=0.3), one(0.2, contact=0.0), one(0.3, contact=0.25), one(0.4, border=True))]
    assert list(found(rows, "contact")) == ["none", "up to 25 %", "over 25 %"]
    assert list(found(rows, "border")) == ["yes"]
    assert {slicing.name for slicing in object_slices(rows, 10_000)} == {"size", "count", "contact", "border"}
    assert object_slices([row("empty")], 10_000) == ()
    assert object_slices([{"key": "old", "miou": 0.5}], 10_000) == ()


def test_the_interval_resamples_scenes(random):
    values = random.random(200)
    rows = [row(str(i), one(value), one(value)) for i, value in enumerate(values)]
    (cut,) = found(rows, "count").values()
    low, high = cut.interval
    expected = 2 * 1.96 * values.std() / np.sqrt(200)  # of 200 scenes; 400 objects would give 0.71 of it
    assert low < values.mean() < high
    assert high - low == pytest.approx(expected, rel=0.1)


def test_the_gap_of_two_sets_has_the_spread_of_both(random):
    here, there = random.normal(0.8, 0.1, 300), random.normal(0.6, 0.2, 150)
    low, high = gap_interval(here, there)
    assert (low + high) / 2 == pytest.approx(here.mean() - there.mean(), abs=0.005)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.1**2 / 300 + 0.2**2 / 150), rel=0.15)
    assert gap_interval(here, [0.5]) is None
