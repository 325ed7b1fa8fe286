"""Decoders of a latent that is broadcast over a grid."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from ocbench_models.blocks.grids import ramps

LAYERS = 4  # 3x3 convolutions without padding, each of which takes two pixels off a side


def broadcast(latents: Tensor, size: tuple[int, int]) -> Tensor:
    """float [N, D + 2, H, W]: latents [N, D] at every place, then its row and column in [-1, 1]."""
    tiled = latents[:, :, None, None].expand(-1, -1, *size)
    where = ramps(*size, like=latents).expand(len(latents), -1, -1, -1)
    return torch.cat((tiled, where), dim=1)


class ValidBroadcastDecoder(nn.Module):
    """Spatial broadcast decoder: a latent and its coordinates over a grid 8 px larger than the image."""

    def __init__(
        self,
        latent_size: int,
        width: int,
        channels: int,
        size: tuple[int, int],
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.grid = (size[0] + 2 * LAYERS, size[1] + 2 * LAYERS)
        layers: list[nn.Module] = []
        for position in range(LAYERS):
            layers += [nn.Conv2d(width if position else latent_size + 2, width, 3), activation()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, channels, 1))

    def forward(self, latents: Tensor) -> Tensor:
        """float [N, channels, H, W] of latents [N, D]; the coordinates span the larger grid."""
        first, size = self.layers[0], latents.shape[1]
        assert isinstance(first, nn.Conv2d)
        # Without padding, what the first layer makes of a latent is the same everywhere, of coordinates for all.
        features = linear(latents, first.weight[:, :size].sum(dim=(2, 3)), first.bias)[:, :, None, None]
        features = features + conv2d(ramps(*self.grid, like=latents)[None], first.weight[:, size:])
        return self.layers[1:](features)
