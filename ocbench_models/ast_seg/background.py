"""What lies behind the objects: an autoencoder with a 16-number bottleneck and its robust loss, or one still image.

Images come and go in [0, 1]; the autoencoder itself works in 0..255, which matters beside its position channels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ocbench import UsageError

LATENT = 16
# Channels after each layer, image to latent and latent to image, for the sides 64 and 128 (authors' code).
WIDTHS: dict[tuple[str, int], tuple[tuple[int, ...], tuple[int, ...]]] = {
    ("simple", 64): ((64, 160, 320, 160, 32, 16), (32, 256, 512, 256, 144, 4)),
    ("complex", 64): ((64, 160, 320, 160, 16, 16), (16, 640, 1280, 640, 144, 4)),
    ("simple", 128): ((64, 160, 320, 160, 160, 32, 16), (32, 256, 256, 512, 256, 144, 4)),
    ("complex", 128): ((64, 320, 640, 640, 320, 16, 16), (16, 320, 640, 1280, 640, 144, 4)),
}


def layer_plan(side: int) -> list[tuple[int, int, int, int]]:
    """(side, kernel, stride, padding) of each encoder layer, from the image down to a side of 1."""
    plan = []
    while side > 1:
        if side > 5:
            kernel, stride, padding, smaller = 5, 2, 2, (side + 1) // 2
        elif side > 3:
            kernel, stride, padding, smaller = 4, 2, 1, 2
        else:
            kernel, stride, padding, smaller = side, 1, 0, 1
        plan.append((side, kernel, stride, padding))
        side = smaller
    return plan


class Positioned(nn.Module):
    """A convolution that also sees row and column, each from -0.5 to 0.5 (1 on a map of side 1).

    Position channels, the last two, are the same in every image: they are convolved once and added. What is left has
    channels in multiples of 8, which the matrix units of a GPU ask for.
    """

    positions: Tensor

    def __init__(self, convolution: nn.Conv2d | nn.ConvTranspose2d, side: int) -> None:
        super().__init__()
        self.convolution = convolution
        layer: Any = convolution
        self._convolve: Callable[..., Tensor]
        how: dict[str, Any] = {"bias": None, "stride": layer.stride, "padding": layer.padding}
        if isinstance(convolution, nn.ConvTranspose2d):
            how["output_padding"] = convolution.output_padding
            self._convolve, self._inputs = partial(F.conv_transpose2d, **how), 0
        else:
            self._convolve, self._inputs = partial(F.conv2d, **how), 1  # the weight's axis of input channels
        axis = torch.linspace(-0.5, 0.5, side) if side > 1 else torch.ones(1)
        rows, columns = torch.meshgrid(axis, axis, indexing="ij")
        self.register_buffer("positions", torch.stack((rows, columns))[None], persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        seen, placed = self.convolution.weight.split((features.shape[1], 2), dim=self._inputs)
        return self._convolve(features, seen) + self._convolve(self.positions.to(features.dtype), placed)


def _finished(layer: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(layer, nn.GroupNorm(max(1, channels // 16), channels), nn.CELU())


class BackgroundAutoencoder(nn.Module):
    """Image -> 16 numbers -> background and an estimate of its error, everything in 0..255 (authors' code)."""

    def __init__(self, kind: str, side: int, width: float = 1.0) -> None:
        super().__init__()
        if (kind, side) not in WIDTHS:
            raise UsageError(
                f"the '{kind}' background has no layers for images of side {side}",
                expected="images of side 64 or 128",
                hint="--set background=still",
            )
        down, up = WIDTHS[kind, side]
        plan = layer_plan(side)
        encoder: list[nn.Module] = []
        channels = 3
        for (size, kernel, stride, padding), out in zip(plan, down, strict=True):
            out = out if out == LATENT else max(LATENT, round(out * width))
            conv = nn.Conv2d(channels + 2, out, kernel, stride, padding, bias=False)
            encoder.append(_finished(Positioned(conv, size), out))
            channels = out
        generator: list[nn.Module] = []
        for (size, kernel, stride, padding), out in zip(reversed(plan), up, strict=True):
            out = out if out <= LATENT else max(LATENT, round(out * width))
            start = (size + 2 * padding - kernel) // stride + 1
            spare = size - ((start - 1) * stride - 2 * padding + kernel)
            transposed = nn.ConvTranspose2d(channels + 2, out, kernel, stride, padding, spare, bias=False)
            layer: nn.Module = Positioned(transposed, start)
            generator.append(layer if size == side else _finished(layer, out))
            channels = out
        self.encoder = nn.Sequential(*encoder)
        self.generator = nn.Sequential(*generator)

    def reconstruct(self, images: Tensor) -> Tensor:
        """float [B, 4, H, W] in 0..255, background and error estimate, of images in 0..255."""
        return torch.sigmoid(self.generator(self.encoder(images)).float()) * 255

    def forward(self, images: Tensor) -> Tensor:
        """float32 [B, 3, H, W] in [0, 1]: the background of each image in [0, 1]."""
        return self.reconstruct(images * 255)[:, :3] / 255


class StillBackground(nn.Module):
    """One learnable image for all scenes, grey until told otherwise."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.full((3, side, side), 0.5))

    @torch.no_grad()
    def set_to_median(self, images: Tensor) -> None:
        """Makes the image the per-pixel, per-channel median of `images`, float32 [N, 3, H, W] in [0, 1]."""
        self.image.copy_(images.cpu().median(dim=0).values)  # a GPU may break ties otherwise from run to run

    def forward(self, images: Tensor) -> Tensor:
        return self.image.expand(images.shape[0], -1, -1, -1)


def _huber(difference: Tensor, bend: float) -> Tensor:
    size = difference.abs()
    return torch.where(size < bend, size * size / (2 * bend), size - bend / 2)


def robust_loss(drawn: Tensor, images: Tensor, beta: float = 6.0, tau: float = 0.25) -> Tensor:
    """Scalar: background error in which pixels that do not look like background hardly count.

    `drawn` float [B, 4, H, W] (background, error estimate) and `images` float [B, 3, H, W], both in 0..255. The weight
    of a pixel falls with the error around it, at most to exp(-beta); `tau` is the error, in 0..3, where it saturates.
    """
    error = _huber(images - drawn[:, :3], 3.0).sum(dim=1) / 255
    estimate = _huber(drawn[:, 3] / 255 - error.detach() / 3, 3 / 255)
    with torch.no_grad():
        strange = torch.tanh(error / tau)
        radius = images.shape[-1] // 75
        if radius:
            window = 2 * radius + 1
            strange = F.avg_pool2d(strange[:, None], window, 1, radius, count_include_pad=False)[:, 0]
        weight = torch.exp(-beta * strange)
    return (weight * (error + estimate)).mean()
