"""The smallest model that the loop can train, to be spoiled by tests, and the plug-in around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ocbench import ModelPlugin, Optimizer, Phase, Prediction


@dataclass(frozen=True)
class TinyConfig:
    rate: float = 0.1


class Tiny(nn.Module):
    """Two scalars that approach the mean of the images; `calls` holds (phase, clock) of every loss."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.ones(1))
        self.calls: list[tuple[str, torch.Tensor]] = []

    def loss(self, images: torch.Tensor, phase: str, clock: torch.Tensor, precomputed: Any = None) -> Any:
        self.calls.append((phase, clock))
        return {"total": ((self.left - images.mean()) ** 2 + (self.right - images.mean()) ** 2).sum()}

    def predict(self, images: torch.Tensor, detail: bool = False) -> Prediction:
        return Prediction(torch.ones(len(images), 1, *images.shape[2:]))


def tiny_plugin(build: Callable[[], nn.Module], *plan: Phase) -> ModelPlugin:
    """A plug-in with that model and those phases, or one phase of eight updates."""
    plan = plan or (Phase("only", 8, batch_size=8, optimizers=(Optimizer("sgd", 0.1, betas=(0.9, 0.0)),)),)
    return ModelPlugin(
        name="tiny",
        summary="two scalars",
        presets={"squares": TinyConfig()},
        scenarios={"default": lambda config: plan},
        build=lambda config, protocol: build(),
    )
