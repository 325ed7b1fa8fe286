"""The published baselines as a user trains them: in one process and in two, interrupted, gone on with, scored."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

BASELINES = ("slot-attention", "monet", "monet-g", "genesis-v2", "gnm")
GECO = {"monet-g": ["geco=true"]}  # where the small preset has none: its weight is part of what is saved
UPDATES, SAVED_EVERY = 6, 2  # of each phase


def command(model: str, data: Path, runs: Path) -> list[str]:
    words = ["train", model, "--data", "mini-plain", "--data-dir", data, "--runs-dir", runs, "--name", model]
    words += ["--steps", UPDATES, "--save-every", SAVED_EVERY, "--batch-size", 4, "--device", "cpu", "-q"]
    for setting in GECO.get(model, ()):
        words += ["-s", setting]
    return [str(word) for word in words]


def trained(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / "final" / "model.safetensors")


def interrupt(run: Path) -> None:
    """As if it had been killed before its last checkpoint."""
    checkpoints = run / "checkpoints"
    *_, before, newest = sorted(path for path in checkpoints.iterdir() if path.name.isdigit())
    assert int(newest.name) - int(before.name) == SAVED_EVERY
    for gone in (newest, checkpoints / "final"):
        shutil.rmtree(gone)


def two_processes(words: list[str]) -> None:
    started = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    told = subprocess.run(
        [*started, "-m", "ocbench", *words], env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize("model", BASELINES)
def test_goes_on_bit_for_bit_and_is_scored(ocbench: Callable, tmp_path: Path, mini_plain: Path, model: str) -> None:
    words, run = command(model, mini_plain, tmp_path / "runs"), tmp_path / "runs" / f"{model}-s0"
    assert ocbench(*words).code == 0
    whole = trained(run)
    interrupt(run)
    resumed = ocbench(*words)
    assert resumed.code == 0, resumed.err
    assert all(torch.equal(trained(run)[name], value) for name, value in whole.items())

    scored = ocbench("evaluate", run, "--data-dir", mini_plain, "--json", "-q", "--gallery", 0)
    assert scored.code == 0, scored.err
    [sheet] = json.loads(scored.out)["sheets"]
    assert sheet["scenes"] == 8


@pytest.mark.parametrize(
    "model", [name if name == "genesis-v2" else pytest.param(name, marks=pytest.mark.slow) for name in BASELINES]
)
def test_two_processes_train_together_and_go_on_bit_for_bit(tmp_path: Path, mini_plain: Path, model: str) -> None:
    words, run = command(model, mini_plain, tmp_path), tmp_path / f"{model}-s0"
    two_processes(words)
    whole = trained(run)
    assert all(value.isfinite().all() for value in whole.values() if value.is_floating_point())
    interrupt(run)
    two_processes(words)
    assert all(torch.equal(trained(run)[name], value) for name, value in whole.items())
