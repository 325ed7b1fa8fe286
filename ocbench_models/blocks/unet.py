"""The U-Net that GENESIS-V2 and MONet read an image with: down to a vector, and up again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ocbench import UsageError

BOTTLENECK = 128  # numbers through which the coarsest map passes


def check_side(model: str, size: tuple[int, int]) -> int:
    """The side of square images that halve to 4 px in three steps or more; a UsageError for all others."""
    side = size[0]
    if side != size[1] or side < 32 or side & (side - 1):
        raise UsageError(
            f"{model} cannot see images of this size",
            expected="square images with a side of 32, 64, 128, ...",
            found=f"{size[0]} x {size[1]}",
        )
    return side


def norm_block(inputs: int, outputs: int, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    """3x3 convolution without bias, norm and ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), norm(outputs), nn.ReLU())


class UNet(nn.Module):
    """float [B, in_channels, side, side] to float [B, up[-1], side, side], not negative: the last layer is a ReLU.

    `down` are the channels of the blocks from the finest on, `up` those from the coarsest on, as many. Between two
    blocks the map is halved (every second pixel is kept) or doubled (nearest). A skip is what a block made before the
    halving; an up block reads the lower path, then the skip.
    """

    def __init__(
        self, in_channels: int, down: tuple[int, ...], up: tuple[int, ...], norm: Callable[[int], nn.Module], side: int
    ) -> None:
        super().__init__()
        halvings = len(down) - 1
        if len(up) != len(down) or side % 2**halvings:
            raise ValueError(f"no U-Net of {len(down)} blocks down and {len(up)} up for images of side {side}")
        flat = down[-1] * (side >> halvings) ** 2
        self.down = nn.ModuleList(norm_block(*ends, norm) for ends in pairwise((in_channels, *down)))
        widths = (flat, BOTTLENECK, BOTTLENECK, flat)
        self.bottleneck = nn.Sequential(*(nn.Sequential(nn.Linear(*ends), nn.ReLU()) for ends in pairwise(widths)))
        lower = (down[-1], *up[:-1])
        self.up = nn.ModuleList(
            norm_block(below + skip, width, norm) for below, skip, width in zip(lower, reversed(down), up, strict=True)
        )

    def forward(self, images: Tensor) -> Tensor:
        skips: list[Tensor] = []
        features = images
        for block in self.down:
            features = block(features[:, :, ::2, ::2] if skips else features)
            skips.append(features)
        features = self.bottleneck(features.flatten(1)).view_as(features)
        for block in self.up:
            skip = skips.pop()
            if features.shape[2:] != skip.shape[2:]:
                features = interpolate(features, scale_factor=2.0, mode="nearest")
            features = block(torch.cat((features, skip), dim=1))
        return features
