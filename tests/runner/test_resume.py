"""A run that was killed anywhere and started again ends with the weights of one that was not, bit for bit."""

from __future__ import annotations

import json
import logging
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import Tiny, tiny_plugin

from ocbench import DataError, Phase, RunError
from ocbench.runner import checkpoint

MODELS = {
    "toy": ("background_steps=6", "foreground_steps=7", "joint_steps=5"),
    "toy-duel": ("duel_steps=7", "settle_steps=6"),
}
UPDATES = {"toy": 18, "toy-duel": 13}
EVERYWHERE = [(model, n, every) for model, last in UPDATES.items() for n in range(1, last + 1) for every in "123"]
SOMEWHERE = [
    *((model, n, "3") for model in MODELS for n in (1, 3, 6, 7, 8, 11, 13)),
    ("toy", 14, "2"),
    ("toy", 18, "2"),
]
WITHOUT_SAVING = [("toy", 5), ("toy", 6), ("toy", 7), ("toy", 13), ("toy", 14), ("toy-duel", 7), ("toy-duel", 8)]


class Killed(BaseException):
    """In place of SIGKILL, where a process of its own would cost too much."""


def killer(updates: int) -> Callable[[int, int, str], None]:
    """A progress callback that kills after so many updates of this call, before a checkpoint of the last is written."""
    left = updates

    def progress(done: int, total: int, note: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    return progress


@pytest.fixture(scope="module")
def known() -> dict[str, bytes]:
    return {}


@pytest.fixture
def undisturbed(training: Any, known: dict[str, bytes]) -> Callable[[str], bytes]:
    """The final weights of a model that nobody disturbed."""

    def final(model: str) -> bytes:
        if model not in known:
            known[model] = training.weights(training(model, *MODELS[model], name="undisturbed-s0", save_every="1000"))
        return known[model]

    return final


def check_killed_once(model: str, n: int, save_every: str, training: Any, expected: bytes) -> None:
    with pytest.raises(Killed):
        training(model, *MODELS[model], save_every=save_every, progress=killer(n))
    assert training.weights(training(model, *MODELS[model], save_every=save_every)) == expected


@pytest.mark.parametrize(("model", "n", "every"), SOMEWHERE)
def test_killed_after_an_update(model: str, n: int, every: str, training: Any, undisturbed: Any) -> None:
    check_killed_once(model, n, every, training, undisturbed(model))


@pytest.mark.slow
@pytest.mark.parametrize(("model", "n", "every"), EVERYWHERE)
def test_killed_after_any_update(model: str, n: int, every: str, training: Any, undisturbed: Any) -> None:
    check_killed_once(model, n, every, training, undisturbed(model))


@pytest.mark.parametrize(("model", "n"), WITHOUT_SAVING)
def test_killed_with_no_checkpoint_but_those_at_the_ends_of_phases(
    model: str, n: int, training: Any, undisturbed: Any
) -> None:
    check_killed_once(model, n, "1000", training, undisturbed(model))


@pytest.mark.parametrize("model", MODELS)
def test_killed_again_and_again(model: str, training: Any, undisturbed: Any) -> None:
    for _ in range(UPDATES[model] - 2):
        with pytest.raises(Killed):
            training(model, *MODELS[model], save_every="1", progress=killer(2))
    assert training.weights(training(model, *MODELS[model], save_every="1")) == undisturbed(model)


def test_the_log_holds_every_update_once(training: Any) -> None:
    for n in (5, 4, 6):
        with pytest.raises(Killed):
            training("toy", *MODELS["toy"], save_every="2", progress=killer(n))
        with open(training.runs / "run-s0" / "log.jsonl", "a") as log:
            log.write('{"phase": "fore')
    final = training("toy", *MODELS["toy"], save_every="2")
    lines = [json.loads(line) for line in (final.parents[1] / "log.jsonl").read_text().splitlines()]
    assert [line["updates"] for line in lines] == [*range(1, 19), 18]


# Killed where no update is


class Starts(Tiny):
    """Draws at the start of each phase, and may be killed there."""

    killed_in = ""

    def start(self, phase: str, images: torch.Tensor) -> None:
        self.left.add_(torch.rand(1) + images.mean())
        if phase == Starts.killed_in:
            raise Killed
        self.right.add_(torch.rand(1))


@pytest.mark.parametrize("phase", ["one", "between", "two"])
def test_killed_in_start(phase: str, training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (Phase(name, 4, batch_size=4, sample=8) for name in ("one", "two"))
    plugin = tiny_plugin(Starts, one, Phase("between", 0, sample=8), two)
    expected = training.weights(training(plugin, name="undisturbed-s0"))
    monkeypatch.setattr(Starts, "killed_in", phase)
    with pytest.raises(Killed):
        training(plugin)
    monkeypatch.setattr(Starts, "killed_in", "")
    assert training.weights(training(plugin)) == expected


@pytest.mark.parametrize("name", ["0000006", "0000009", "0000018", checkpoint.FINAL])
def test_killed_while_a_checkpoint_is_written(
    name: str, training: Any, undisturbed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def stopping(source: Any, target: Any) -> None:
        if Path(target).name == name:
            raise Killed
        replace(source, target)

    monkeypatch.setattr(os, "replace", stopping)
    with pytest.raises(Killed):
        training("toy", *MODELS["toy"], save_every="3")
    monkeypatch.setattr(os, "replace", replace)
    assert training.weights(training("toy", *MODELS["toy"], save_every="3")) == undisturbed("toy")


class Precomputes(Tiny):
    """Counts the scenes that it precomputes, with random rows."""

    counted = 0

    def precompute(self, images: torch.Tensor) -> torch.Tensor:
        Precomputes.counted += len(images)
        return torch.randint(0, 256, (len(images), 1, 2, 2), dtype=torch.uint8)

    def loss(self, images: torch.Tensor, phase: str, clock: torch.Tensor, precomputed: Any = None) -> Any:
        total = super().loss(images, phase, clock)["total"]
        return {"total": total if precomputed is None else total * precomputed.float().mean() / 128}


def test_what_is_precomputed_is_made_once_a_call_and_not_for_a_phase_that_is_done(
    training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = tiny_plugin(Precomputes, Phase("one", 4, batch_size=8, precompute=True), Phase("two", 4, batch_size=8))
    monkeypatch.setattr(Precomputes, "counted", 0)
    expected = training.weights(training(plugin, name="undisturbed-s0"))
    assert Precomputes.counted == 64
    for updates, scenes in ((2, 64), (4, 64), (1, 0)):  # in the first phase, in the second, from the end of the first
        Precomputes.counted = 0
        with pytest.raises(Killed):
            training(plugin, save_every="1", progress=killer(updates))
        assert Precomputes.counted == scenes
    assert training.weights(training(plugin)) == expected


# Checkpoints that are damaged, named, or cannot be written


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("name", [checkpoint.WEIGHTS, checkpoint.STATE, checkpoint.DIGESTS])
def test_a_checkpoint_cut_in_half_is_passed_over(
    name: str, training: Any, undisturbed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Killed):
        training("toy-duel", *MODELS["toy-duel"], save_every="2", progress=killer(7))
    saved = checkpoint.numbered(training.runs / "run-s0")
    cut(saved[-1] / name)
    said = []
    with caplog.at_level(logging.WARNING, logger="ocbench"):
        final = training("toy-duel", *MODELS["toy-duel"], save_every="2", say=lambda *words: said.append(words))
    assert f"'{saved[-1]}' is damaged" in caplog.text
    assert ("resume", "0000004 updates done, phase duel") in said
    assert training.weights(final) == undisturbed("toy-duel")


def test_with_every_checkpoint_damaged_the_run_does_not_begin_anew(training: Any) -> None:
    with pytest.raises(Killed):
        training("toy", *MODELS["toy"], save_every="2", progress=killer(5))
    for folder in checkpoint.numbered(training.runs / "run-s0"):
        cut(folder / checkpoint.WEIGHTS)
    with pytest.raises(RunError, match=r"every checkpoint of .* is damaged(?s:.*)0000002, 0000004"):
        training("toy", *MODELS["toy"], save_every="2")


def test_a_named_checkpoint_is_gone_on_from(training: Any, undisturbed: Any) -> None:
    final = training("toy", *MODELS["toy"], save_every="4")
    (final / checkpoint.WEIGHTS).unlink()
    again = training("toy", *MODELS["toy"], save_every="4", resume=str(final.with_name("0000013")))
    assert training.weights(again) == undisturbed("toy")
    with pytest.raises(RunError, match="from which nothing goes on"):
        training("toy", *MODELS["toy"], resume=str(again))


def test_a_full_disk_ends_the_run_with_its_last_checkpoint_whole(training: Any, undisturbed: Any) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done: int, total: int, note: str) -> None:
        if len(checkpoint.numbered(training.runs / "run-s0")) == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))

    try:
        with pytest.raises(DataError, match=r"cannot write '.*0000012"):
            training("toy", *MODELS["toy"], save_every="3", progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    saved = checkpoint.numbered(training.runs / "run-s0")
    assert [(folder.name, checkpoint.fault(folder)) for folder in saved] == [
        ("0000003", None), ("0000006", None), ("0000009", None),
    ]  # fmt: skip
    assert training.weights(training("toy", *MODELS["toy"], save_every="3")) == undisturbed("toy")
