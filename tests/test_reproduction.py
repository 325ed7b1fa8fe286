"""Plans behind tables: which runs they hold, how far these are, and how they are handed to a cluster."""

from __future__ import annotations

import json
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from ocbench import reproduction
from ocbench.errors import DataError, UnknownNameError
from ocbench.plans import Means
from ocbench.published import published_rows
from ocbench.runs import append_log

SEEDS = (0, 1)


def means(folder: Path, **more: Any) -> Means:
    return Means(str(folder / "data"), str(folder / "runs"), lambda name: nullcontext(lambda *_: None), **more)


def test_a_published_table_is_the_systems_that_registered_models_stand_for() -> None:
    for number in (1, 2, 3, 4):
        plan = reproduction.plan_of(str(number))
        datasets = {row.dataset for row in published_rows() if row.table == number and row.system.startswith("AST-Seg")}
        assert {training.data.partition("@")[0] for training in plan.trainings} == datasets
        assert len(plan.trainings) == len(set(plan.trainings))
    names = [run.run_dir.name for run in reproduction.planned(reproduction.plan_of("1"), (7,), means(Path("x")))]
    assert "ast-seg-ct-clevrtex-s7" in names
    third = reproduction.plan_of("3").trainings
    assert all(training.data == "clevrtex@ast-paper" and set(training.splits) == {"ood", "camo"} for training in third)


def test_a_row_that_two_models_stand_for_is_trained_once() -> None:
    runs = reproduction.planned(reproduction.plan_of("4"), (0,), means(Path("x")))
    assert not [run for run in runs if "map_generator=unet" in run.training.settings and "ast-seg-unet" in str(runs)]
    assert len({run.run_dir for run in runs}) == len(runs)


def test_an_unknown_table_names_those_that_there_are() -> None:
    with pytest.raises(UnknownNameError, match=r"(?s)table named '9'.*1, 2, 3, 4, mini"):
        reproduction.plan_of("9")


def test_how_far_and_how_long(tmp_path: Path) -> None:
    plan, there = reproduction.plan_of("mini"), means(tmp_path)
    fresh = reproduction.planned(plan, SEEDS, there)
    assert len(fresh) == len(plan.trainings) * len(SEEDS)
    trained = [run for run in fresh if run.updates]
    assert {run.state for run in fresh} == {"to do"}
    assert all(run.hours is None for run in trained)
    assert reproduction.planned(plan, SEEDS, there, pace=0.5)[fresh.index(trained[0])].hours == pytest.approx(
        trained[0].updates * 0.5 / 3600
    )
    begun = trained[0]
    begun.run_dir.mkdir(parents=True)
    append_log(begun.run_dir, {"phase": "foreground", "updates": 1000, "seconds": 500, "of": begun.updates})
    now = {run.run_dir: run for run in reproduction.planned(plan, SEEDS, there)}
    assert now[begun.run_dir].state == f"1,000 of {begun.updates:,}"
    assert now[begun.run_dir].hours == pytest.approx((begun.updates - 1000) * 0.5 / 3600)
    twin = begun.training.run_dir(there.runs_dir, 1)
    assert now[twin].hours == pytest.approx(begun.updates * 0.5 / 3600)  # by the pace of the other seed


def test_a_trial_is_another_run(tmp_path: Path) -> None:
    plan = reproduction.plan_of("mini")
    runs = reproduction.planned(plan, (0,), means(tmp_path, fields={"steps": 3}))
    assert all(run.run_dir.name.endswith("-trial-s0") for run in runs)
    assert max(run.updates for run in runs) == 6  # two phases of three


def test_data_that_cannot_be_made_here_are_named_together(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)2 datasets of table 1.*ocbench prepare clevr; ocbench prepare clevrtex"):
        reproduction.provide(reproduction.plan_of("1"), means(tmp_path))


def test_a_table_without_runs_has_its_published_rows() -> None:
    text = reproduction.filled(reproduction.plan_of("1"), [])
    assert "AST-Seg-B3-CT" in text
    assert "ours" not in text


def test_a_job_array_has_a_task_for_each_run_that_is_not_done(tmp_path: Path) -> None:
    runs = reproduction.planned(reproduction.plan_of("1"), SEEDS, means(tmp_path))
    script = reproduction.slurm_array(runs, "echo reproduce 1", 11.5)
    assert f"--array=0-{len(runs) - 1} " in script
    assert "--time=11:30:00" in script
    for task in (0, len(runs) - 1):
        command = ["bash", "-c", script]
        told = subprocess.run(
            command, env={"SLURM_ARRAY_TASK_ID": str(task)}, capture_output=True, text=True, check=True
        )
        assert told.stdout.split() == ["reproduce", "1", "--only", runs[task].run_dir.name, "--max-hours", "11.15"]


def test_what_is_scored_is_done(tmp_path: Path) -> None:
    plan, there = reproduction.plan_of("mini"), means(tmp_path)
    run = reproduction.planned(plan, (0,), there)[0]
    final = run.run_dir / "checkpoints" / "final"
    final.mkdir(parents=True)
    (final / "model.safetensors").touch()
    assert reproduction.planned(plan, (0,), there)[0].state == "to be scored on test"
    (run.run_dir / "scores").mkdir()
    (run.run_dir / "scores" / "mini-plain-test@quick.json").write_text(json.dumps({}))
    assert reproduction.planned(plan, (0,), there)[0].state == "done"
