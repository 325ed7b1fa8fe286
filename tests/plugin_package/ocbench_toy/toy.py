"""A background picture and a small network that shares the pixels out among slots of one colour each."""

from dataclasses import dataclass

import torch
from torch import nn

from ocbench import ModelPlugin, Optimizer, Phase, Prediction


@dataclass(frozen=True)
class ToyConfig:
    width: int = 16  # channels
    learning_rate: float = 0.01
    background_steps: int = 40
    foreground_steps: int = 100
    joint_steps: int = 40
    batch_size: int = 16
    clip_norm: float = 1.0


class Background(nn.Module):
    """One picture, whatever the scene."""

    def __init__(self, size):
        super().__init__()
        self.picture = nn.Parameter(torch.full((3, *size), 0.5))

    def forward(self, images):
        return self.picture.expand_as(images)


class Masks(nn.Module):
    """Shares of each pixel, [B, S, H, W]; they sharpen with every batch seen in training."""

    def __init__(self, width, slots):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, slots, 1),
        )  # fmt: skip
        self.register_buffer("sharpness", torch.tensor(1.0))

    def forward(self, images):
        if self.training:
            self.sharpness.mul_(1.01).clamp_(max=3.0)
        return (self.sharpness * self.layers(images)).softmax(dim=1)


class Toy(nn.Module):
    """Slot 0 is the background's; every other slot draws the mean colour of its pixels."""

    def __init__(self, config, protocol):
        super().__init__()
        self.background = Background(protocol.size)
        self.masks = Masks(config.width, protocol.max_objects + 1)

    def loss(self, images, phase, clock, precomputed=None):
        picture = self.background(images)
        if phase == "background":
            return {"total": (images - picture).abs().mean()}
        weights, layers = self._layers(images, picture)
        rebuild = (weights * ((images[:, None] - layers) ** 2).sum(dim=2)).sum(dim=1).mean()
        empty = weights[:, 1:].mean() * 0.01 * torch.exp(-clock / 50)
        return {"total": rebuild + empty, "rebuild": rebuild}

    def predict(self, images, detail=False):
        weights, layers = self._layers(images, self.background(images))
        drawn = (weights[:, :, None] * layers).sum(dim=1)
        return Prediction(weights, drawn, layers if detail else None)

    def edit(self, images, drop, move):
        weights, layers = self._layers(images, self.background(images))
        weights, side = weights.clone(), images.shape[-1]
        for slot, (across, down) in move.items():
            weights[:, slot] = weights[:, slot].roll((round(down * side / 2), round(across * side / 2)), (1, 2))
        weights[:, list(drop)] = 0
        weights = weights / weights.sum(dim=1, keepdim=True)
        return Prediction(weights, (weights[:, :, None] * layers).sum(dim=1), layers)

    def _layers(self, images, picture):
        weights = self.masks(images)
        objects = weights[:, 1:]
        sums = torch.einsum("bshw,bchw->bsc", objects, images)
        colours = sums / (objects.sum(dim=(2, 3))[:, :, None] + 1e-3)
        flat = colours[:, :, :, None, None].expand(*colours.shape, *images.shape[2:])
        return weights, torch.cat([picture[:, None], flat], dim=1)


def curriculum(config):
    def phase(name, steps, trains, **more):
        adam = Optimizer("adam", config.learning_rate)
        return Phase(name, steps, trains, config.batch_size, (adam,), clip_norm=config.clip_norm, **more)

    return (
        phase("background", config.background_steps, ("background",)),
        phase("foreground", config.foreground_steps, ("masks",)),
        phase("joint", config.joint_steps, (), clock_start=config.foreground_steps),
    )


TOY = ModelPlugin(
    name="toy",
    summary="a background picture and slots of one colour",
    presets={"squares": ToyConfig(), "*": ToyConfig(width=24)},
    scenarios={"curriculum": curriculum},
    build=Toy,
    citation="the tests of ocbench",
    license="CC0-1.0",
)
