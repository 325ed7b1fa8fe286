"""A collapse is told once, after two looks outside of a band, and ends the run where that was asked for."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from ocbench import Band, RunError, registry
from ocbench.runner import checkpoint
from ocbench.runner.watch import Watch

SLOTS = Band("live_slots", 2, 6, after=0.5, helps="more of them")


def told(watch: Watch, looks: list[tuple[float, float]], figure: str = "live_slots") -> list[int]:
    """Which looks, (value, share), told of something."""
    return [place for place, (value, share) in enumerate(looks) if watch.look({figure: value}, share)]


def test_two_looks_in_a_row_count_and_only_once() -> None:
    assert told(Watch([SLOTS], True), [(1, 0.5), (1, 0.6), (1, 0.7), (0, 0.8)]) == [1]
    assert told(Watch([SLOTS], True), [(1, 0.5), (3, 0.6), (7, 0.7), (2, 0.8), (6, 0.9)]) == []
    assert told(Watch([SLOTS], True), [(1, 0.3), (1, 0.4), (1, 0.5)]) == []  # before the band begins


def test_what_is_told_names_the_figure_the_band_and_what_helps() -> None:
    watch = Watch([SLOTS], False)
    watch.look({"live_slots": 1}, 1.0)
    [text] = watch.look({"live_slots": 1}, 1.0)
    assert text == "has it collapsed? live_slots is 1, where healthy runs have 2 to 6; what usually helps: more of them"


@pytest.mark.parametrize(("share", "expected"), [(0.0, [1]), (1.0, [1]), (0.5, [])])
def test_any_model_with_a_background_has_some_foreground_but_not_only(share: float, expected: list[int]) -> None:
    looks = [(share, 0.6), (share, 0.7)]
    assert told(Watch([], True), looks, "foreground") == expected
    assert told(Watch([], False), looks, "foreground") == []
    assert told(Watch([Band("foreground", 0, 1)], True), looks, "foreground") == []


@pytest.fixture
def ill() -> Any:
    """The toy model with a band in which it never is."""
    return replace(registry.model("toy"), healthy={"squares": (Band("foreground", 2, 3, after=0.0, helps="nothing"),)})


def test_it_is_warned_of_and_the_run_goes_on(toy: Any, ill: Any, training: Any, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING, logger="ocbench"):
        training(ill, fields={"steps": 6}, eval_every=2)
    assert caplog.text.count("has it collapsed? foreground is") == 1
    log = [json.loads(line) for line in (training.runs / "run-s0" / "log.jsonl").read_text().splitlines()]
    assert [line["updates"] for line in log if line.get("event") == "collapse"] == [4]


def test_it_may_end_the_run(toy: Any, ill: Any, training: Any) -> None:
    with pytest.raises(RunError, match=r"stopped at update 4: has it collapsed\?(?s:.*)--stop-on-collapse"):
        training(ill, fields={"steps": 6}, eval_every=2, stop_on_collapse=True)
    assert [path.name for path in checkpoint.numbered(training.runs / "run-s0")] == ["0000004"]
    training(ill, fields={"steps": 6}, eval_every=2)  # and goes on without the word
    assert checkpoint.final(training.runs / "run-s0").is_dir()
