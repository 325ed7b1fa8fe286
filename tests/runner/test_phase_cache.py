"""A first phase that others share: taken where it would be the same, trained where it would not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import Tiny, tiny_plugin

from ocbench import DataError, ModelPlugin, Optimizer, Phase, PluginError, storage
from ocbench.runner import phase_cache
from ocbench.runner.phase_cache import code_digest, may_be_shared
from ocbench.runs import RunConfig, read_log

SLOW = Optimizer("sgd", 0.1, betas=(0.9, 0.0))
FIRST = Phase("first", 6, trains=("left",), batch_size=8, optimizers=(SLOW,), depends_on=("rate",))
SECOND = Phase("second", 5, batch_size=8, optimizers=(SLOW,))


class Noisy(Tiny):
    """Learns on noise, so that every seed has an outcome of its own."""

    def loss(self, images: torch.Tensor, phase: str, clock: torch.Tensor, precomputed: Any = None) -> Any:
        return super().loss(images + torch.randn(()), phase, clock)


@dataclass(frozen=True)
class Settings:
    rate: float = 0.1
    other: float = 1.0


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def plugin() -> ModelPlugin:
    return replace(tiny_plugin(Noisy, FIRST, SECOND), presets={"squares": Settings()})


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def run(training: Any, plugin: ModelPlugin, told: list[str]) -> Callable[..., Path]:
    """Trains, and returns the run directory; what was said is in `told`."""

    def train(name: str, *settings: str, **options: Any) -> Path:
        told.clear()
        used = options.pop("plugin", plugin)
        training(used, *settings, name=name, say=lambda word, text: told.append(f"{word} {text}"), **options)
        return training.runs / name

    return train


def left(folder: Path) -> float:
    """What the first phase trains, after it."""
    return float(load_file(folder / "checkpoints" / "0000006" / "model.safetensors")["left"])


def phases_logged(folder: Path) -> set[str]:
    return {line["phase"] for line in read_log(folder / "log.jsonl") if "total" in line}


TAKEN = "first 6 steps found in the phase cache, of run one-s0"


def test_another_seed_takes_the_phase_and_says_whose_it_is(run: Callable[..., Path], told: list[str]) -> None:
    one = run("one-s0")
    assert TAKEN not in told
    assert RunConfig.load(one).shared == {}
    two = run("two-s1", seed=1)
    assert TAKEN in told
    assert left(two) == left(one)
    assert phases_logged(two) == {"second"}
    assert RunConfig.load(two).shared == {"first": "one-s0"}
    assert RunConfig.load(two).difference(RunConfig.load(one)) == "seed: here 1, now 0"


def test_settings_on_which_it_does_not_depend_share_it(run: Callable[..., Path], told: list[str]) -> None:
    run("one-s0")
    run("two-s0", "other=2")
    assert TAKEN in told


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (("rate=0.2",), {}),
        ((), {"fields": {"steps": 4}}),
        ((), {"fields": {"batch_size": 4}}),
        ((), {"fields": {"precision": "bf16"}}),
        ((), {"phase_cache": False}),
        ((), {"plugin": replace(tiny_plugin(Noisy, replace(FIRST, steps=5), SECOND), presets={"squares": Settings()})}),
    ],
)
def test_what_would_not_be_the_same_is_trained(
    settings: tuple[str, ...], options: dict[str, Any], run: Callable[..., Path], told: list[str]
) -> None:
    run("one-s0")
    two = run("two-s1", *settings, seed=1, **options)
    assert not any("phase cache" in line for line in told)
    assert "first" in phases_logged(two)


def test_other_code_trains_anew(run: Callable[..., Path], told: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run("one-s0")
    monkeypatch.setattr("ocbench.runner.train.code_digest", lambda build: "another")
    run("two-s1", seed=1)
    assert not any("phase cache" in line for line in told)


def test_the_code_is_the_folder_of_the_module_that_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "grown").mkdir()
    (tmp_path / "grown" / "__init__.py").write_text("")
    (tmp_path / "grown" / "network.py").write_text("class Net: pass\n")
    (tmp_path / "grown" / "plug.py").write_text("def build(): pass\nclass Builder:\n    def __call__(self): pass\n")
    (tmp_path / "lonely.py").write_text("def build(): pass\n")
    from grown.plug import Builder, build  # type: ignore[import-not-found]
    from lonely import build as lonely  # type: ignore[import-not-found]

    before = code_digest(build), code_digest(Builder()), code_digest(lonely)
    assert len(set(before)) == 3
    assert code_digest(partial(build, 1)) == before[0]
    (tmp_path / "grown" / "network.py").write_text("class Net: size = 2\n")
    assert (code_digest(build) != before[0], code_digest(Builder()) != before[1]) == (True, True)
    assert code_digest(lonely) == before[2]  # what lies beside a single file is not its own


def test_killed_after_it_was_taken(run: Callable[..., Path], training: Any) -> None:
    run("one-s0")
    undisturbed = run("two-s1", seed=1)

    def kill(done: int, total: int, note: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("three-s1", seed=1, progress=kill)
    killed = run("three-s1", seed=1)
    assert RunConfig.load(killed).shared == {"first": "one-s0"}
    finals = [folder / "checkpoints" / "final" for folder in (killed, undisturbed)]
    assert training.weights(finals[0]) == training.weights(finals[1])


@pytest.mark.parametrize("damage", ["model.safetensors", "origin.json"])
def test_a_damaged_outcome_is_trained_anew_and_replaced(
    damage: str, run: Callable[..., Path], told: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run("one-s0")
    (stored,) = (tmp_path / "cache" / "phases").iterdir()
    (stored / damage).write_bytes(b"{")
    with caplog.at_level(logging.WARNING, logger="ocbench"):
        run("two-s1", seed=1)
    assert "trained anew" in caplog.text
    assert not any("phase cache" in line for line in told)
    run("three-s2", seed=2)
    assert "first 6 steps found in the phase cache, of run two-s1" in told


def test_an_outcome_that_cannot_be_stored_ends_no_run(
    run: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = storage.write_atomic

    def full(path: str, data: bytes) -> None:
        if "/phases/" in path:
            raise DataError(f"cannot write '{path}'", found="no space left on device")
        write(path, data)

    monkeypatch.setattr(storage, "write_atomic", full)
    with caplog.at_level(logging.WARNING, logger="ocbench"):
        run("one-s0")
    assert "the phase is not stored for other runs: cannot write" in caplog.text
    assert list((tmp_path / "cache" / "phases").iterdir()) == []


@pytest.mark.parametrize(
    ("plan", "shared"),
    [
        ((FIRST, SECOND), True),
        ((Phase("nothing", 0), FIRST, SECOND), True),
        ((FIRST,), False),  # then it is the run
        ((replace(FIRST, depends_on=None), SECOND), False),
        ((replace(FIRST, trains=()), SECOND), False),  # all parts would be shared
        ((replace(FIRST, steps=0), SECOND), False),
        ((FIRST, replace(SECOND, renew=False)), False),  # its moments are not stored
        ((SECOND, FIRST, SECOND), False),
        ((Phase("looks", 0, sample=4), FIRST, SECOND), False),
    ],
)
def test_what_may_be_shared(plan: tuple[Phase, ...], shared: bool) -> None:
    assert may_be_shared(plan, [phase.name for phase in plan].index("first")) is shared


def test_a_phase_that_depends_on_no_setting_of_the_model_claims_nothing(
    run: Callable[..., Path], training: Any
) -> None:
    wrong = replace(tiny_plugin(Noisy, replace(FIRST, depends_on=("ratio",)), SECOND), presets={"squares": Settings()})
    with pytest.raises(PluginError, match="phase 'first' depends on 'ratio', which is no setting of 'tiny'"):
        run("one-s0", plugin=wrong)
    assert not (training.runs / "one-s0").exists()


def test_every_rank_must_find_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugin: ModelPlugin) -> None:
    monkeypatch.setattr(phase_cache, "_whole", lambda folder: {"run": "one-s0"})
    state: Any = SimpleNamespace(
        plan=(FIRST, SECOND), phase=0, where=SimpleNamespace(gathered=lambda found: [found, False])
    )
    run: Any = SimpleNamespace(
        config={"rate": 1},
        fingerprint="f",
        precision="fp32",
        stream=False,
        deterministic=False,
        micro_batch=None,
        init_from=None,
    )
    assert phase_cache.PhaseCache(tmp_path, run, "code").take(state) is None
