"""Training curves: which lines of a log are drawn, and where."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from ocbench.html.collect import collect
from ocbench.html.curves import curves, decades, kept_records, nice_ticks, phase_starts, thinned
from ocbench.runs import append_log


def line(updates, phase="only", **terms):
    return {"phase": phase, "step": updates, "updates": updates, **terms}


def test_what_a_stopped_run_did_twice_is_drawn_once_as_it_was_done_last():
    log = [line(1, total=5.0), line(2, total=4.0), line(3, total=9.0), line(2, total=3.9), line(3, total=3.0)]
    found = [(record["updates"], record["total"]) for record in kept_records([*log, {"event": "finished"}])]
    assert found == [(1, 5.0), (2, 3.9), (3, 3.0)]


def test_a_probe_at_the_updates_of_a_line_is_kept_beside_it():
    probe = {**line(2, probe_miou=0.5), "event": "probe"}
    log = [
        line(1, total=1.0),
        line(2, total=1.0),
        probe,
        line(3, total=1.0),
        line(2, total=2.0),
        {**probe, "probe_miou": 0.6},
    ]
    assert kept_records(log) == [line(1, total=1.0), line(2, total=2.0), {**probe, "probe_miou": 0.6}]


def test_a_phase_begins_where_its_first_line_says():
    log = [line(10, "first"), {**line(25, "second"), "step": 5}, {**line(30, "second"), "step": 10}]
    assert phase_starts(log) == {"first": 0, "second": 20}


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.5, 1]),
        (0, 10, [0, 5, 10]),
        (-0.3, 0.3, [-0.2, 0, 0.2]),
        (3, 3, [3]),
        (0, 7000, [0, 2000, 4000, 6000]),
    ],
)
def test_ticks_are_round(low, high, ticks):
    assert nice_ticks(low, high) == pytest.approx(ticks)


def test_decades_are_whole_and_few():
    assert decades(-4.2, -0.9) == [-4, -3, -2, -1]
    assert decades(0.1, 0.9) == []
    assert len(decades(-20, 0)) <= 5


def test_a_long_line_keeps_its_last_point():
    points = [(float(i), float(i)) for i in range(1001)]
    assert len(thinned(points)) <= 302
    assert thinned(points)[-1] == points[-1]
    assert thinned(points[:3]) == points[:3]


def test_every_logged_number_has_a_chart_and_every_run_a_line(maker):
    found = collect([maker.run("a-s0"), maker.run("b-s0", spoil=5), maker.run("c-s0", log=False)])
    charts = {curve.title: curve for curve in curves(found.runs)}
    assert list(charts) == ["total loss", "learning rate"]  # one look of a probe is no curve
    drawn = ElementTree.fromstring(charts["total loss"].svg)
    lines = drawn.findall("polyline")
    assert [each.get("class") for each in lines] == ["line run-0", "line run-1"]
    places = [tuple(map(float, pair.split(","))) for pair in lines[0].get("points").split()]
    assert len(places) == 20
    assert places == sorted(places)  # to the right, and down
    assert "a-s0 ends at 0.05" in charts["total loss"].text


def test_wide_ranges_are_drawn_in_logarithms(maker):
    path = maker.run(log=False)
    for step in range(1, 6):
        append_log(path, line(step, small=10.0**-step, zero=float(step - 1)))
    charts = {curve.title: curve for curve in curves(collect([path]).runs)}
    assert (charts["small"].scale, charts["zero"].scale) == ("log scale", "")
    points = re.search(r'points="([^"]+)"', charts["small"].svg)[1].split()
    heights = [float(pair.split(",")[1]) for pair in points]
    assert [b - a for a, b in pairwise(heights)] == pytest.approx([heights[1] - heights[0]] * 4, abs=0.2)


def test_a_loss_that_is_not_finite_and_words_from_the_log_do_no_harm(maker):
    path = maker.run("a-s0", log=False)
    for updates in range(1, 6):
        phase, step = ('<b onload="x">', updates) if updates < 3 else ("b & c", updates - 2)
        value = math.nan if updates == 2 else 1.0
        append_log(path, {"phase": phase, "step": step, "updates": updates, "total": value})
    (curve,) = curves(collect([path]).runs)
    assert "<b" not in curve.svg
    assert ElementTree.fromstring(curve.svg).findall("text")[-1].text == "b & c"
