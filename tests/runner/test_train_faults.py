"""What the loop refuses: plans that cannot be carried out, losses that break the contract, other runs, poison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny import Tiny, tiny_plugin
from torch import nn

from ocbench import ModelPlugin, Phase, PluginError, RunError, UsageError
from ocbench.runner import checkpoint

TOY = ("background_steps=6", "foreground_steps=7", "joint_steps=5")


# What it refuses, before it claims the folder


class Forgetful(Tiny):
    def loss(self, images: torch.Tensor, *rest: Any) -> Any:
        return {"loss": self.left.sum() + self.right.sum()}


class Idle(Tiny):
    def loss(self, images: torch.Tensor, *rest: Any) -> Any:
        return {"total": (self.left - images.mean()).square().sum()}


@pytest.mark.parametrize(
    ("plugin", "options", "error", "message"),
    [
        (tiny_plugin(Tiny, Phase("one", 1), Phase("two", 1, ("ear",))), {}, PluginError, "phase 'two' trains 'ear'"),
        (tiny_plugin(Tiny, Phase("one", 1, sample=4)), {}, PluginError, "needs the model's 'start'"),
        (tiny_plugin(Tiny, Phase("one", 1), Phase("two", 1, batch_size=65)), {}, UsageError, "batch is larger than"),
        (tiny_plugin(Tiny), {"save_every": "often"}, UsageError, "cannot save every 'often'"),
        (tiny_plugin(Tiny), {"save_every": "0"}, UsageError, "cannot save every '0'"),
        (tiny_plugin(Tiny), {"save_every": "-5s"}, UsageError, "cannot save every '-5s'"),
        (
            tiny_plugin(Tiny, Phase("one", 1, precompute=True)), {"fields": {"stream": True}}, UsageError,
            "phase 'one' stores what it precomputes",
        ),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_carried_out_claims_nothing(
    plugin: ModelPlugin, options: dict[str, Any], error: type[Exception], message: str, training: Any, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        training(plugin, **options)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [(Forgetful, "loss breaks its contract in phase 'only'"), (Idle, r"take no part in 'total'\n  found     right")],
)
def test_a_loss_that_breaks_its_contract(model: type[nn.Module], message: str, training: Any, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=message):
        training(tiny_plugin(model))
    assert checkpoint.numbered(tmp_path / "runs" / "run-s0") == []


def test_another_run_in_the_folder_is_refused_and_left_whole(training: Any) -> None:
    final = training("toy", *TOY)
    before = {path: path.read_bytes() for path in final.parents[1].rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=r"config\.joint_steps: here 5, now 6(?s:.*)--name run-2"):
        training("toy", *TOY[:2], "joint_steps=6")
    with pytest.raises(RunError, match="model: here toy, now toy-duel"):
        training("toy-duel")
    assert {path: path.read_bytes() for path in final.parents[1].rglob("*") if path.is_file()} == before


# Poison


class PoisonedLoss(Tiny):
    def loss(self, images: torch.Tensor, phase: str, clock: torch.Tensor, precomputed: Any = None) -> Any:
        return {"total": super().loss(images, phase, clock)["total"] / (clock < 5), "part": clock.float()}


class PoisonedGradient(Tiny):
    def loss(self, images: torch.Tensor, phase: str, clock: torch.Tensor, precomputed: Any = None) -> Any:
        root = (self.left * 0 + (clock < 5)).sqrt().sum()
        return {"total": super().loss(images, phase, clock)["total"] + root}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (PoisonedLoss, r"not finite: the loss in phase 'only', step 6\n  found     total inf, part 5\n"),
        (PoisonedGradient, r"not finite: the weights in phase 'only', step 6\n  found     left\n"),
    ],
)
def test_what_is_not_finite_stops_the_run_and_is_not_saved(
    model: type[nn.Module], message: str, training: Any, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=message):
        training(tiny_plugin(model), save_every="1")
    saved = checkpoint.numbered(tmp_path / "runs" / "run-s0")
    assert [int(folder.name) for folder in saved] == [3, 4, 5]
    for folder in saved:
        assert all(value.isfinite().all() for value in load_file(folder / checkpoint.WEIGHTS).values())
