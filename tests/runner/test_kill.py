"""Real processes, killed or asked to stop in each phase, end with the weights of one that was not, bit for bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ocbench.runner import checkpoint
from ocbench.runs import read_log

STEPS = {
    "toy": {"background_steps": 40, "foreground_steps": 40, "joint_steps": 80},
    "toy-duel": {"duel_steps": 50, "settle_steps": 50},
}
KILL, TERM, USR1, INT = signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1, signal.SIGINT
CODES = {KILL: -KILL, TERM: 75, USR1: 75, INT: 130}


@pytest.fixture
def started(toy: Path, squares_dir: Path, training: Any) -> Callable[..., subprocess.Popen]:
    """Starts the command in a process of its own; the run is that of `training`."""

    def start(model: str, settings: Sequence[str]) -> subprocess.Popen:
        words = [sys.executable, "-m", "ocbench", "train", model, "--name", "run", "--device", "cpu"]
        words += [
            "--save-every",
            "3",
            "--eval-every",
            "0",
            "--no-phase-cache",
            *(f"--set={setting}" for setting in settings),
        ]
        words += ["--data-dir", str(squares_dir), "--runs-dir", str(training.runs)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)

    return start


def wait_for(log: Path, updates: int, process: subprocess.Popen) -> None:
    """Until the log tells of so many updates, or the process has ended."""
    while process.poll() is None and not any(line["updates"] >= updates for line in read_log(log)):
        time.sleep(0.005)


def check_nothing_is_lost(run: Path, reason: str, told: str) -> None:
    """The update in which the run was asked to stop is the one that its newest checkpoint holds."""
    last = read_log(run / "log.jsonl")[-1]
    assert (last["event"], last["reason"]) == ("stopped", reason)
    newest = checkpoint.numbered(run)[-1]
    assert int(newest.name) == last["updates"]
    assert f"stopped: {reason}: {last['updates']:,} updates are saved in '{newest}'; the same command goes on" in told


def at_random(count: int, updates: int) -> tuple[tuple[int, signal.Signals], ...]:
    """So many kills, the same in every session, in ascending order."""
    return tuple((n, KILL) for n in sorted(random.Random(count).sample(range(2, updates), count)))


@pytest.mark.parametrize(
    ("model", "times", "kills"),
    [
        ("toy", 1, ((12, KILL), (50, TERM), (100, INT))),
        ("toy-duel", 1, ((12, USR1), (65, KILL))),
        pytest.param("toy", 6, at_random(30, 880), marks=pytest.mark.slow),
        pytest.param("toy-duel", 6, at_random(10, 540), marks=pytest.mark.slow),
    ],
)
def test_a_process_killed_in_each_phase(
    model: str, times: int, kills: Sequence[tuple[int, signal.Signals]], started: Any, training: Any
) -> None:
    settings, chance = [f"{name}={times * steps}" for name, steps in STEPS[model].items()], random.Random(0)
    for updates, number in kills:
        process = started(model, settings)
        wait_for(training.runs / "run-s0" / "log.jsonl", updates, process)
        time.sleep(0.02 * chance.random())  # anywhere in what it does: an update, a line of the log, a checkpoint
        process.send_signal(number)
        told = process.communicate()[1]
        assert process.returncode == CODES[number], told
        if CODES[number] == 75:
            check_nothing_is_lost(training.runs / "run-s0", signal.Signals(number).name, told)
    process = started(model, settings)
    told = process.communicate()[1]
    assert process.returncode == 0, told
    assert "resume" in told
    undisturbed = training(model, *settings, name="undisturbed-s0", save_every="1000")
    assert training.weights(training.runs / "run-s0" / "checkpoints" / "final") == training.weights(undisturbed)
