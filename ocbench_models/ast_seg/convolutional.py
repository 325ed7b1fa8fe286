"""The two convolutional map generators: the paper's U-Net (Table 8) and the small one of the quick start."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class SmallMapGenerator(nn.Module):
    """The quick start's: two strided convolutions to a quarter of the side, then a U-Net of two more levels."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        first, second, third, fourth = widths
        self.stem = nn.Sequential(_group(nn.Conv2d(3, first, 4, 2, 1, bias=False), first), _down(first, second))
        self.down = nn.ModuleList([_down(second, third), _down(third, fourth)])
        self.up = nn.ModuleList([_up(fourth, third), _up(2 * third, second)])
        self.last = nn.Conv2d(2 * second, channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        fine = self.stem(images)
        middle = self.down[0](fine)
        coarse = self.down[1](middle)
        middle = torch.cat((self.up[0](coarse), middle), dim=1)
        return self.last(torch.cat((self.up[1](middle), fine), dim=1))


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, features: Tensor) -> Tensor:
        return features + self.inner(features)


def _group(convolution: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.GroupNorm(max(1, channels // 16), channels), nn.CELU())


def _down(channels: int, out: int) -> nn.Sequential:
    strided = _group(nn.Conv2d(channels, out, 4, 2, 1, bias=False), out)
    return nn.Sequential(strided, Residual(_group(nn.Conv2d(out, out, 3, 1, 1, bias=False), out)))


def _up(channels: int, out: int) -> nn.Sequential:
    return _group(nn.ConvTranspose2d(channels, out, 4, 2, 1, bias=False), out)


class UNet(nn.Module):
    """Paper Table 8: five levels below the image, convolutions without bias, batch norm and CELU."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.stem = _batch(nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(_batch(nn.Conv2d(above, below, 4, 2, 1, bias=False), below), Residual(_batch3(below)))
            for above, below in pairs
        )
        self.centre = _batch3(widths[-1])
        self.up = nn.ModuleList(
            nn.Sequential(
                Residual(_batch3(2 * below)),
                _batch(nn.ConvTranspose2d(2 * below, above, 4, 2, 1, bias=False), above),
            )
            for above, below in pairs
        )
        self.widen = _batch(nn.Conv2d(2 * widths[0], channels, 3, 1, 1, bias=False), channels)
        self.smooth = Residual(nn.Conv2d(channels, channels, 3, 1, 1, bias=False))
        self.last = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images)
        skips = [features]
        for down in self.down:
            features = down(features)
            skips.append(features)
        features = self.centre(features)
        for up, skip in zip(reversed(self.up), reversed(skips), strict=False):
            features = up(torch.cat((features, skip), dim=1))
        return self.last(self.smooth(self.widen(torch.cat((features, skips[0]), dim=1))))


def _batch(convolution: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.CELU())


def _batch3(channels: int) -> nn.Sequential:
    return _batch(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), channels)
