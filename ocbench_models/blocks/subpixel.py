"""Decoders that grow an image by trading channels for pixels (SPACE, GNM)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import celu, pixel_shuffle


class SubPixelLayer(nn.Module):
    """A convolution that keeps the size, its channels spread over `factor` x `factor` pixels; then CELU and norm.

    The activation comes before the norm. `groups` None: neither activation nor norm.
    """

    def __init__(self, channels: int, width: int, factor: int, kernel: int, groups: int | None = 1) -> None:
        super().__init__()
        self.factor = factor
        self.conv = nn.Conv2d(channels, width * factor**2, kernel, padding=kernel // 2)
        self.norm = nn.GroupNorm(groups, width) if groups is not None else None

    def forward(self, features: Tensor) -> Tensor:
        spread = pixel_shuffle(self.conv(features), self.factor)
        return spread if self.norm is None else self.norm(celu(spread))


def sub_pixel_stack(channels: int, plan: Sequence[tuple[int, int]], kernel: int, bare_last: bool) -> nn.Sequential:
    """Layers of one norm group each, from `channels`; `plan` is (width, factor) a layer."""
    layers = []
    for at, (width, factor) in enumerate(plan):
        bare = bare_last and at == len(plan) - 1
        layers.append(SubPixelLayer(channels, width, factor, kernel, groups=None if bare else 1))
        channels = width
    return nn.Sequential(*layers)
