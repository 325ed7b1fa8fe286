"""The loop: what learns, by which clock, what it writes, what it refuses, and that looking on changes nothing."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import Tiny, tiny_plugin

from ocbench import Optimizer, Phase, Prediction, WarmupThenDrops, registry
from ocbench.runner import checkpoint
from ocbench.runner.device import child_seed
from ocbench.runner.outcomes import outcomes
from ocbench.runner.phases import planned
from ocbench.runner.train import Options

TOY = ("background_steps=6", "foreground_steps=7", "joint_steps=5")
DUEL = ("duel_steps=7", "settle_steps=6")


def log_of(run_dir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]


def run_of(final: Path) -> Path:
    return final.parents[1]


# What is learned


@pytest.mark.parametrize("model", ["toy", "toy-duel"])
def test_training_finds_objects(model: str, training: Any, squares: Any) -> None:
    run_dir = run_of(training(model))
    totals = {}
    for line in log_of(run_dir):
        if "total" in line:
            totals.setdefault(line["phase"], []).append(line["total"])
    learned = totals["foreground" if model == "toy" else "duel"]
    assert learned[-1] < 0.7 * learned[0]
    recipe = registry.model(model)
    net = recipe.build(recipe.presets["squares"], squares("test").protocol)
    checkpoint.load_weights(run_dir / "checkpoints" / "final", net)
    score = registry.metric("miou").score
    found = list(outcomes(net, squares("test"), torch.device("cpu"), batch_size=8))
    blank = [type(one)(one.scene, np.zeros_like(one.labels), None, None) for one in found]
    assert np.mean([score(one) for one in found]) > 1.5 * np.mean([score(one) for one in blank])


def test_what_a_phase_does_not_train_stays_as_it_is(training: Any) -> None:
    folder = run_of(training("toy", *TOY)) / "checkpoints"
    ends = [load_file(folder / name / checkpoint.WEIGHTS) for name in ("0000006", "0000013", "0000018")]
    plugin = registry.model("toy")
    torch.manual_seed(child_seed(0, "initialisation"))
    begin = plugin.build(plugin.presets["squares"], registry.dataset("squares").protocol()).state_dict()

    def changed(before: dict, after: dict) -> set[str]:
        return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}

    assert [changed(*pair) for pair in zip([begin, *ends], ends, strict=False)] == [
        {"background"}, {"masks"}, {"background", "masks"},
    ]  # fmt: skip
    assert ends[0]["masks.layers.1.num_batches_tracked"] == 0
    assert ends[1]["masks.layers.1.num_batches_tracked"] == 7


def test_each_seed_has_its_own_course(training: Any) -> None:
    finals = [training.weights(training("toy", *TOY, name=f"run-s{seed}", seed=seed)) for seed in (0, 1)]
    assert finals[0] != finals[1]


# Clocks and rates


class Timed(Tiny):
    """Notes what `after_step` is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, int, list[str]]] = []

    def after_step(self, terms: Any, phase: str, n: int, optimizers: Any) -> None:
        assert not torch.is_grad_enabled()
        assert not terms["total"].requires_grad
        self.told.append((phase, n, [type(one).__name__ for one in optimizers]))


def test_the_clock_counts_over_phases(training: Any) -> None:
    model = Timed()
    warm = Optimizer("sgd", 1.0, (0.0, 0.0), schedule=WarmupThenDrops(4, 1.0, ((6, 0.5),)))
    plan = (
        Phase("one", 3, batch_size=4, optimizers=(warm,)),
        Phase("two", 4, batch_size=4, optimizers=(warm,), clock_start=3),
    )
    run_dir = run_of(training(tiny_plugin(lambda: model, *plan)))
    assert [(phase, int(clock)) for phase, clock in model.calls] == [
        *(("one", n) for n in (0, 1, 2)), *(("two", n) for n in (3, 4, 5, 6)),
    ]  # fmt: skip
    assert {(clock.dtype, clock.shape) for _, clock in model.calls} == {(torch.int64, ())}
    assert [n for _, n, _ in model.told] == [1, 2, 3, 4, 5, 6, 7]
    assert model.told[0] == ("one", 1, ["SGD"])
    rates = [line["rate"] for line in log_of(run_dir) if "rate" in line]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 0.5, 0.5]


@pytest.mark.parametrize("limit", [None, 0.05])
def test_one_limit_holds_over_all_gradients(training: Any, limit: float | None) -> None:
    """Plain SGD at rate 1: a step is the gradient."""
    sgd = Optimizer("sgd", 1.0, (0.0, 0.0))
    split = (Optimizer("sgd", 1.0, (0.0, 0.0), parameters=("left",)), sgd)
    plan = Phase("only", 1, batch_size=8, optimizers=split, clip_norm=limit)
    after = load_file(training(tiny_plugin(Tiny, plan)) / checkpoint.WEIGHTS)
    moved = torch.cat([after["left"] - 0, after["right"] - 1]).norm()
    assert moved == pytest.approx(0.05, rel=1e-3) if limit else moved > 0.5


# How it computes


@pytest.mark.parametrize("fields", [{"precision": "bf16"}, {"stream": True}, {"deterministic": True}])
def test_every_way_of_computing_trains(fields: dict[str, Any], training: Any) -> None:
    final = training("toy", *TOY, fields=fields)
    assert all(np.isfinite(line["total"]) for line in log_of(run_of(final)) if "total" in line)
    floats = {value.dtype for value in load_file(final / checkpoint.WEIGHTS).values() if value.is_floating_point()}
    assert floats == {torch.float32}


@pytest.mark.slow
def test_a_compiled_step_computes_the_same(training: Any) -> None:
    plain, compiled = (
        [line["total"] for line in log_of(run_of(training("toy", *TOY, name=name, fields=fields))) if "total" in line]
        for name, fields in (("plain-s0", {}), ("compiled-s0", {"compile": True}))
    )
    assert compiled == pytest.approx(plain, rel=5e-3)


# What it writes


def test_the_run_directory(training: Any, squares: Any) -> None:
    final = training("toy", *TOY, save_every="4")
    run_dir = run_of(final)
    there = {path.name for path in run_dir.iterdir()} - {"tensorboard"}  # that is there where the extra is
    assert there == {"checkpoints", "log.jsonl", "run.json", "scenes.txt"}
    assert (run_dir / "scenes.txt").read_text().split() == list(squares("train").keys)
    kept = sorted(path.name for path in (run_dir / "checkpoints").iterdir())
    assert kept == ["0000006", "0000013", "0000017", "0000018", "final"]
    assert training.weights(final) == training.weights(run_dir / "checkpoints" / "0000018")
    lines = log_of(run_dir)
    assert [line["updates"] for line in lines] == [*range(1, 19), 18]
    assert set(lines[0]) == {"phase", "step", "updates", "of", "seconds", "total", "rate", "scenes_per_second"}
    assert {line["of"] for line in lines if "of" in line} == {18}
    assert lines[-1]["event"] == "finished"


def test_run_json_is_there_before_the_first_update(training: Any, tmp_path: Path) -> None:
    class Looks(Tiny):
        def loss(self, *arguments: Any) -> Any:
            assert (tmp_path / "runs" / "run-s0" / "run.json").is_file()
            return super().loss(*arguments)

    training(tiny_plugin(Looks))


def test_steps_and_batch_size_limit_every_phase() -> None:
    plugin = tiny_plugin(Tiny, Phase("one", 100, batch_size=4), Phase("two", 3, batch_size=4), Phase("three", 0))

    class Run:
        scenario, steps, batch_size = "default", 5, 16

    assert [(p.steps, p.batch_size) for p in planned(plugin, None, Run)] == [(5, 16), (3, 16), (0, 16)]  # type: ignore[arg-type]


# Phases without updates


class Started(Tiny):
    """Learns in `start` alone."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("picture", torch.zeros(3, 16, 16))

    def start(self, phase: str, images: torch.Tensor) -> None:
        assert not torch.is_grad_enabled()
        assert not self.training
        self.picture.copy_(images.mean(dim=0))


def test_a_plan_without_updates_starts_and_finishes(training: Any, squares: Any) -> None:
    plugin = tiny_plugin(Started, Phase("fit", 0, sample=1000))
    said: list[str] = []
    final = training(plugin)
    expected = np.mean([scene.image.transpose(2, 0, 1) / 255 for scene in squares("train")], axis=0)
    np.testing.assert_allclose(load_file(final / checkpoint.WEIGHTS)["picture"], expected, atol=1e-6)
    assert sorted(path.name for path in final.parent.iterdir()) == ["final"]
    training(plugin, say=lambda word, text: said.append(word))
    assert said == ["finished"]


# What looks on changes nothing


@pytest.mark.parametrize(("model", "settings"), [("toy", TOY), ("toy-duel", DUEL)])
def test_probes_and_checkpoints_do_not_change_the_course(model: str, settings: tuple[str, ...], training: Any) -> None:
    plain = training(model, *settings, name="plain-s0", save_every="1000")
    watched = training(
        model, *settings, name="watched-s0", save_every="1", eval_every=1, progress=lambda *told: torch.rand(0)
    )
    assert training.weights(watched) == training.weights(plain)
    probes = [line for line in log_of(run_of(watched)) if line.get("event") == "probe"]
    assert [line["updates"] for line in probes] == list(range(1, 19 if model == "toy" else 14))
    assert {"probe_miou", "probe_ari_fg", "live_slots", "foreground"} <= set(probes[0])


def test_a_probe_that_comes_to_nothing_ends_no_run(training: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Blind(Tiny):
        def predict(self, images: torch.Tensor, detail: bool = False) -> Prediction:
            return Prediction(torch.full((len(images), 2, 16, 16), float("nan")))

    with caplog.at_level(logging.WARNING, logger="ocbench"):
        training(tiny_plugin(Blind), eval_every=8)
    assert "the probe at update 8 came to nothing: the predicted weights are not finite" in caplog.text


def test_seconds_and_updates_between_checkpoints() -> None:
    assert Options(save_every="60s").save_interval() == (float("inf"), 60)
    assert Options(save_every="500").save_interval() == (500, float("inf"))
