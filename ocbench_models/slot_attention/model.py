"""The Slot Attention autoencoder: encoder, attention and broadcast decoder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ocbench import Prediction
from ocbench_models.blocks.grids import SoftPositionEmbed
from ocbench_models.blocks.mixtures import blend
from ocbench_models.blocks.slot_attention import SlotAttention
from ocbench_models.slot_attention import SlotAttentionConfig


class Encoder(nn.Module):
    """Images to tokens: four 5x5 convolutions, positions, a norm and two layers at each position."""

    def __init__(self, config: SlotAttentionConfig, size: tuple[int, int]) -> None:
        super().__init__()
        width = config.channels
        layers: list[nn.Module] = []
        for position, stride in enumerate(config.encoder_strides):
            layers += [nn.Conv2d(width if position else 3, width, 5, stride, 2), nn.ReLU()]
            size = (math.ceil(size[0] / stride), math.ceil(size[1] / stride))
        self.convolutions = nn.Sequential(*layers)
        self.position = SoftPositionEmbed(width)
        self.joint = config.norm == "joint"
        self.norm = nn.LayerNorm((width, *size) if self.joint else width)
        self.mlp = nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, width, 1))

    def forward(self, images: Tensor) -> Tensor:
        """float [B, C, h, w]."""
        features = self.position(self.convolutions(images))
        if self.joint:
            return self.mlp(self.norm(features))
        return self.mlp(self.norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


class StartingSlots(nn.Module):
    """The one distribution that all slots are drawn from."""

    def __init__(self, size: int, glorot: bool) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.randn(1, 1, size))
        self.log_std = nn.Parameter(torch.empty(1, 1, size))
        nn.init.xavier_uniform_(self.log_std)
        if glorot:
            nn.init.xavier_uniform_(self.mean)

    def forward(self, noise: Tensor) -> Tensor:
        return self.mean + self.log_std.exp() * noise


class Decoder(nn.Module):
    """Slots [N, D] to colours and a mask logit, float [N, 4, H, W]: a broadcast, then transposed convolutions."""

    def __init__(self, config: SlotAttentionConfig, size: tuple[int, int]) -> None:
        super().__init__()
        self.side, self.size = config.decoder_side, size
        self.position = SoftPositionEmbed(config.slot_size)
        widths = (config.slot_size, *[config.channels] * (config.decoder_doublings + 1))
        layers: list[nn.Module] = []
        for position, (above, below) in enumerate(pairwise(widths)):
            stride = 2 if position < config.decoder_doublings else 1
            layers += [nn.ConvTranspose2d(above, below, 5, stride, 2, stride - 1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ConvTranspose2d(config.channels, 4, 3, 1, 1))

    def forward(self, slots: Tensor) -> Tensor:
        tiled = slots[:, :, None, None].expand(-1, -1, self.side, self.side)
        drawn = self.layers(self.position(tiled))
        if drawn.shape[2:] != self.size:
            drawn = interpolate(drawn, self.size, mode="bicubic", align_corners=False)
        return drawn


@dataclass
class Scene:
    """What a batch became."""

    features: Tensor  # float [B, C, h, w]
    shares: Tensor  # float [B, K, h * w], of each token in the last round
    slots: list[Tensor]  # float [B, K, D], where they start and after each round
    weights: Tensor  # float [B, K, H, W], summing to 1 over K
    colours: Tensor  # float [B, K, 3, H, W], unbounded

    def reconstruction(self) -> Tensor:
        """float [B, 3, H, W]."""
        return blend(self.weights, self.colours)


class SlotAttentionAutoencoder(nn.Module):
    """Implements `ocbench.Model`; no slot is set aside for the background."""

    def __init__(self, config: SlotAttentionConfig, size: tuple[int, int], slots: int) -> None:
        super().__init__()
        self.count = slots
        self.encoder = Encoder(config, size)
        self.start_slots = StartingSlots(config.slot_size, config.glorot)
        self.attention = SlotAttention(
            config.channels, config.slot_size, config.slot_mlp, config.rounds, config.projection_bias
        )
        self.decoder = Decoder(config, size)
        if config.glorot:
            self.apply(_glorot)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> Scene:
        """The scene of images [B, 3, H, W]; `noise` [B, K, D] stands for the standard normal draws of the start."""
        features = self.encoder(images)
        with torch.autocast(images.device.type, enabled=False):
            features = features.to(torch.promote_types(features.dtype, torch.float32))
            if noise is None:
                size = self.start_slots.mean.shape[-1]
                noise = torch.randn(len(images), self.count, size, device=images.device, dtype=features.dtype)
            first = self.start_slots(noise)
            shares, slots = self.attention(features.flatten(2).transpose(1, 2), first)
        drawn = self.decoder(slots[-1].flatten(0, 1)).unflatten(0, first.shape[:2])
        drawn = drawn.to(first.dtype)
        return Scene(features, shares, [first, *slots], drawn[:, :, 3].softmax(dim=1), drawn[:, :, :3])

    def loss(self, images: Tensor, phase: str, clock: Tensor, precomputed: Tensor | None = None) -> dict[str, Tensor]:
        """The squared error, summed over an image and averaged over the batch."""
        scene = self(images)
        with torch.autocast(images.device.type, enabled=False):
            error = (scene.reconstruction() - images).square().sum(dim=(1, 2, 3)).mean()
        return {"total": error}

    def predict(self, images: Tensor, detail: bool = False) -> Prediction:
        """The decoded masks; slots start from new random numbers at every call, as in training."""
        scene = self(images)
        found = Prediction(weights=scene.weights, reconstruction=scene.reconstruction())
        if detail:
            found.layers = scene.colours
            found.attention = scene.shares.unflatten(2, scene.features.shape[2:])
        return found


def _glorot(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
