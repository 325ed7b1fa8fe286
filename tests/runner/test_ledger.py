"""What a run cost is in its run.json, whether it ended by itself or was asked to stop, and adds up over calls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ocbench.accounts import cost_of
from ocbench.plugin import Phase
from ocbench.runner import ledger
from ocbench.runner.stopping import Stopped
from ocbench.runs import RunConfig

SETTINGS = ("background_steps=10", "foreground_steps=6", "joint_steps=4")


def test_the_cost_of_two_calls_is_that_of_the_run(training: Any) -> None:
    with pytest.raises(Stopped):
        training("toy", *SETTINGS, max_hours=1e-9)
    first = RunConfig.load(training.runs / "run-s0").cost
    assert first["images"] == 16  # one update
    training("toy", *SETTINGS)
    run = RunConfig.load(training.runs / "run-s0")
    assert run.cost["images"] == 20 * 16
    assert run.cost["seconds"] > first["seconds"]
    assert run.cost["peak_bytes"] >= first["peak_bytes"] > 1e7
    assert run.cost["ranks"] == 1
    assert run.cost["device"] in cost_of(run)
    assert "320 images" in cost_of(run)


def test_a_shared_phase_costs_nothing() -> None:
    plan = (Phase("first", 10, batch_size=4), Phase("second", 8, batch_size=3))
    shared: Any = SimpleNamespace(shared={"first": "another run"})
    alone: Any = SimpleNamespace(shared={})
    for phase, step, expected in ((0, 7, 28), (1, 0, 40), (1, 5, 55), (2, 0, 64)):
        state: Any = SimpleNamespace(plan=plan, phase=phase, step=step)
        assert ledger.images(state, alone) == expected
        assert ledger.images(state, shared) == max(expected - 40, 0)


def test_a_run_that_no_call_has_ended_has_no_cost(training: Any) -> None:
    training("toy", fields={"steps": 1})
    run = RunConfig.load(training.runs / "run-s0")
    assert cost_of(RunConfig(**{**run.__dict__, "cost": {}})) == ""
