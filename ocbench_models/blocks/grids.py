"""Coordinates of pixels, and position embeddings made of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def ramps(height: int, width: int, like: Tensor, low: float = -1.0) -> Tensor:
    """float [2, H, W] of the kind of `like`: row, then column, from `low` to 1 at the centres of the border pixels."""
    rows = torch.linspace(low, 1, height, device=like.device, dtype=like.dtype)
    columns = torch.linspace(low, 1, width, device=like.device, dtype=like.dtype)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def position_channels(height: int, width: int, like: Tensor) -> Tensor:
    """float [4, H, W] in [0, 1]: row, column, 1 - row, 1 - column (0 in the top row and in the left column)."""
    grid = ramps(height, width, like, low=0.0)
    return torch.cat((grid, 1 - grid))


class SoftPositionEmbed(nn.Module):
    """Adds a learned linear map of `position_channels` to float [B, C, H, W] (Slot Attention, appendix E.2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(4, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[2:]
        return features + self.project(position_channels(height, width, like=features)[None])


def cell_centres(shifts: Tensor, grid: int) -> Tensor:
    """float [B, G G, 2] in (-1 - 1/G, 1 + 1/G): x and y of boxes that their cells, row by row, shift by at most one.

    `shifts` float [B, G G, 2], unbounded: along x and y, a whole cell at infinity (SPACE, appendix; GNM).
    """
    index = torch.arange(grid, device=shifts.device, dtype=shifts.dtype)
    cells = torch.stack((index.repeat(grid), index.repeat_interleave(grid)), dim=-1)
    return 2 / grid * (cells + 0.5 + torch.tanh(shifts)) - 1
