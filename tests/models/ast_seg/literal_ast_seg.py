"""AST-Seg's foreground as the paper writes it, step by step: the reference of what `ocbench_models` computes faster.

Attention pooling as one broadcast product, the decode head of transformers, `affine_grid` and `grid_sample` for colours
and masks together, activations as plain exponentials.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from ocbench_models.ast_seg.backbones import SegFormer
from ocbench_models.ast_seg.model import AstSeg, Foreground
from ocbench_models.ast_seg.slots import Slots, decode
from ocbench_models.blocks.grids import ramps


def soft_argmax(maps: Tensor, slots: int) -> Tensor:
    """Paper 3.2: latents [B, K, 2 + F] of maps [B, K + F, h, w]."""
    attention = maps[:, :slots].flatten(2).softmax(-1).unflatten(2, maps.shape[2:])
    grids = ramps(*maps.shape[2:], like=maps).flip(0)  # x, y
    centres = (attention[:, :, None] * grids).sum((-2, -1))
    features = (attention[:, :, None] * maps[:, None, slots:]).sum((-2, -1))
    return torch.cat((centres, features), dim=2)


def place(glimpses: Tensor, scales: Tensor, centres: Tensor, size: tuple[int, int]) -> Tensor:
    """Paper 3.3: glimpses [N, C, G, G] on images [N, C, H, W]."""
    theta = torch.zeros(len(glimpses), 2, 3, dtype=glimpses.dtype)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scales[:, 0], scales[:, 1], -scales * centres
    grid = F.affine_grid(theta, [len(glimpses), glimpses.shape[1], *size], align_corners=False)
    return F.grid_sample(glimpses, grid, align_corners=False)


def composite(masks: Tensor, activations: Tensor, background_activation: Tensor) -> Tensor:
    """Paper 3.3: shares [B, K + 1, H, W] of masks [B, K, H, W]."""
    logits = torch.cat((background_activation.expand(len(masks), 1), activations), dim=1)
    claims = logits.exp()[:, :, None, None] * torch.cat((torch.ones_like(masks[:, :1]), masks), dim=1)
    return claims / claims.sum(dim=1, keepdim=True)


class LiteralForeground(Foreground):
    def forward(self, images: Tensor) -> Slots:
        generator = self.map_generator
        maps = generator.network(images).logits if isinstance(generator, SegFormer) else generator(images)
        latents = soft_argmax(maps, self.slots)
        return decode(self.refiner(latents) if self.refiner is not None else latents, self.config)

    def draw(self, slots: Slots, size: tuple[int, int], shown: Tensor | None = None) -> tuple[Tensor, Tensor]:
        batch, count = slots.activations.shape
        glimpses = self.glimpses(slots.what.flatten(0, 1))
        placed = place(glimpses, slots.scales.flatten(0, 1), slots.centres.flatten(0, 1), size)
        placed = placed.unflatten(0, (batch, count))
        return composite(placed[:, :, 3], slots.activations, self.background_activation), placed[:, :, :3]


def literal(model: AstSeg) -> AstSeg:
    """The same network, weight for weight, computed literally."""
    made = copy.deepcopy(model)
    made.foreground.__class__ = LiteralForeground
    return made
