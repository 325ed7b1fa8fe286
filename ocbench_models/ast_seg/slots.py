"""From maps to slots: attention, soft-argmax, and the transformer in which slots see each other.

A latent is [x, y | scale logits (1 or 2) | activation logit | appearance]; slots are a set, in dimension 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ocbench_models.ast_seg.presets import AstSegConfig
from ocbench_models.blocks.grids import ramps


def attention(maps: Tensor, slots: int) -> Tensor:
    """float [B, K, h, w], summing to 1 over the map, in float32 or better: where each slot looks.

    `maps` float [B, K + F, h, w]: K attention logits, then F feature channels.
    """
    logits = maps[:, :slots].to(torch.promote_types(maps.dtype, torch.float32))
    return logits.flatten(2).softmax(dim=-1).unflatten(2, maps.shape[2:])


def soft_argmax(maps: Tensor, slots: int) -> Tensor:
    """float [B, K, 2 + F]: attention-weighted mean of position and features for each slot, in float32 or better.

    `maps` as for `attention`. One matrix product does it all; on a GPU it should stay in full float32 (TF32 moves a
    centre by up to 0.03 px).
    """
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    batch, _, height, width = maps.shape
    grids = ramps(height, width, like=maps).flip(0).flatten(1).expand(batch, -1, -1)  # x, y
    values = torch.cat((grids, maps[:, slots:].flatten(2)), dim=1)
    return torch.bmm(attention(maps, slots).flatten(2), values.transpose(1, 2))


class Refiner(nn.Module):
    """Latents in, latents out: a transformer over the slots of one image, without positions or masks."""

    def __init__(self, config: AstSegConfig) -> None:
        super().__init__()
        size = 2 + config.feature_size
        self.residual = config.refiner_residual
        self.embedding = nn.Linear(size, config.refiner_width)
        layer = nn.TransformerEncoderLayer(
            config.refiner_width,
            config.refiner_heads,
            config.refiner_feed_forward,
            config.refiner_dropout,
            batch_first=True,
            norm_first=config.refiner_pre_norm,
        )
        last = nn.LayerNorm(config.refiner_width) if config.refiner_pre_norm else None
        self.encoder = nn.TransformerEncoder(layer, config.refiner_layers, last, enable_nested_tensor=False)
        self.projection = nn.Linear(config.refiner_width, size)
        if config.refiner_output_std is not None:
            nn.init.normal_(self.projection.weight, std=config.refiner_output_std)
            nn.init.zeros_(self.projection.bias)

    def forward(self, latents: Tensor) -> Tensor:
        refined = self.projection(self.encoder(self.embedding(latents)))
        return latents + refined if self.residual else refined


@dataclass
class Slots:
    """Decoded latents of a batch, float32."""

    centres: Tensor  # [B, K, 2], x and y in [-1, 1]
    scales: Tensor  # [B, K, 2], image sides per glimpse side, along x and y
    activations: Tensor  # [B, K], logits
    what: Tensor  # [B, K, what_size]
    clamped: Tensor  # scalar, share of coordinates that had to be clamped, where no gradient passes


def decode(latents: Tensor, config: AstSegConfig) -> Slots:
    """The slots that `latents`, float32 [B, K, 2 + F], stand for."""
    logits = config.scale_logits
    positions = latents[..., :2]
    span = config.scale_max - config.scale_min
    scales = config.scale_min + span * torch.sigmoid(latents[..., 2 : 2 + logits])
    # The authors' code reads index 4 whatever the scaling: with one scale that is the first appearance number.
    index = 4 if config.activation_index == "code" else 2 + logits
    activations = latents[..., index]
    if config.activation_cap is not None:
        activations = config.activation_cap * torch.tanh(activations / config.activation_cap)
    return Slots(
        centres=positions.clamp(-1, 1),
        scales=scales.expand(*scales.shape[:-1], 2),
        activations=activations,
        what=latents[..., 3 + logits :],
        clamped=(positions.detach().abs() > 1).float().mean(),
    )
