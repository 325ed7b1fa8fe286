"""Colour prototypes against a network that names them: everything that a model may ask of the loop."""

from dataclasses import dataclass

import torch
from torch import nn

from ocbench import ModelPlugin, Optimizer, Phase, Prediction, WarmupThenDrops


@dataclass(frozen=True)
class DuelConfig:
    prototypes: int = 12  # colours
    width: int = 16  # channels
    learning_rate: float = 0.005
    goal: float = 0.02  # error that the multiplier holds the network to
    duel_steps: int = 60
    settle_steps: int = 40
    batch_size: int = 16
    sample: int = 32  # scenes that the prototypes come from


class Duel(nn.Module):
    """The nearest prototypes win the pixels; slot 0 is what the sampled scenes have in common."""

    def __init__(self, config, protocol):
        super().__init__()
        self.goal = config.goal
        self.encoder = nn.Sequential(
            nn.Conv2d(3, config.width, 3, padding=1, bias=False), nn.BatchNorm2d(config.width), nn.ReLU(),
            nn.Dropout(0.1), nn.Conv2d(config.width, config.prototypes + 1, 1),
        )  # fmt: skip
        self.prototypes = nn.Parameter(torch.rand(config.prototypes, 3))
        self.register_buffer("common", torch.zeros(3, *protocol.size))
        self.register_buffer("multiplier", torch.tensor(1.0))

    def start(self, phase, images):
        """The common picture, and colours as unlike it and each other as the sampled scenes have them."""
        self.common.copy_(images.median(dim=0).values)
        colours = images.permute(0, 2, 3, 1).reshape(-1, 3)
        chosen = [self.common.mean(dim=(1, 2))]
        for _ in self.prototypes:
            distances = torch.stack([((colours - c) ** 2).sum(dim=1) for c in chosen]).min(dim=0).values
            chosen.append(colours[distances.argmax()])
        self.prototypes.copy_(torch.stack(chosen[1:]) + 0.01 * torch.randn_like(self.prototypes))

    def precompute(self, images):
        """How unlike the common picture each pixel is, uint8 [B, 1, H, W]."""
        return ((images - self.common).abs().amax(dim=1, keepdim=True) * 255).to(torch.uint8)

    def loss(self, images, phase, clock, precomputed=None):
        weights = self.encoder(images).softmax(dim=1)
        error = (weights * self._errors(images)).sum(dim=1).mean()
        strange = (precomputed[:, 0] > 12).float()
        missed = ((1 - weights[:, 0] - strange) ** 2).mean()
        return {"total": missed + self.multiplier * error, "error": error, "missed": missed}

    def after_step(self, terms, phase, n, optimizers):
        self.multiplier.mul_(torch.exp(0.5 * (terms["error"] - self.goal))).clamp_(0.1, 10.0)

    def predict(self, images, detail=False):
        weights = self.encoder(images).softmax(dim=1)
        flat = self.prototypes[None, :, :, None, None].expand(len(images), -1, -1, *images.shape[2:])
        layers = torch.cat([self.common.expand_as(images)[:, None], flat], dim=1)
        return Prediction(weights, (weights[:, :, None] * layers).sum(dim=1), layers if detail else None)

    def _errors(self, images):
        """Square distance of each pixel to the common picture and to each prototype, [B, S, H, W]."""
        common = ((images - self.common) ** 2).sum(dim=1, keepdim=True)
        flat = ((images[:, None] - self.prototypes[None, :, :, None, None]) ** 2).sum(dim=2)
        return torch.cat([common, flat], dim=1)


def duel(config):
    def optimizers(schedule):
        return (
            Optimizer("adam", config.learning_rate, schedule=schedule),
            Optimizer("sgd", 0.1, betas=(0.9, 0.0), schedule=schedule, parameters=("prototypes",)),
        )

    def phase(name, steps, schedule, **more):
        return Phase(name, steps, (), config.batch_size, optimizers(schedule), precompute=True, **more)

    drops = WarmupThenDrops(5, drops=((config.duel_steps + 1, 0.3),))
    return (
        phase("duel", config.duel_steps, drops, sample=config.sample),
        phase("settle", config.settle_steps, drops, clock_start=config.duel_steps, renew=False),
    )


TOY_DUEL = ModelPlugin(
    name="toy-duel",
    summary="colour prototypes against a network, with two optimisers and a multiplier",
    presets={"squares": DuelConfig(), "*": DuelConfig(prototypes=24)},
    scenarios={"duel": duel},
    build=Duel,
    citation="the tests of ocbench",
    license="CC0-1.0",
)
