"""From slots to an image: glimpses, their places, and the soft competition for each pixel. Everything in float32."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LOWEST_LOGIT = -40.0  # below the strongest of an image; lower ones give NaN gradients where all masks are empty


def glimpse_widths(image_side: int) -> tuple[int, ...]:
    """Channels of the glimpse generator for a glimpse of half the image side (paper Table 7)."""
    widths, side = [8], 4  # a generator of one width draws a glimpse of side 4
    while side < image_side // 2:
        widths.insert(0, 2 * widths[0])
        side *= 2
    return tuple(widths)


class GlimpseGenerator(nn.Module):
    """Appearance -> RGB and mask, each in (0, 1), of side 2^(number of widths + 1)."""

    def __init__(self, what_size: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.side = 2 ** (len(widths) + 1)
        layers: list[nn.Module] = []
        channels = what_size
        for position, width in enumerate(widths):
            kernel, stride, padding = (4, 2, 1) if position else (2, 1, 0)
            layers.append(nn.ConvTranspose2d(channels, width, kernel, stride, padding, bias=False))
            layers += [nn.GroupNorm(max(1, width // 16), width), nn.CELU()]
            channels = width
        layers += [nn.ConvTranspose2d(channels, 4, 4, 2, 1), nn.Sigmoid()]
        self.layers = nn.Sequential(*layers)

    def forward(self, what: Tensor) -> Tensor:
        """float32 [N, 4, G, G] of appearances [N, what_size]."""
        return self.layers(what[:, :, None, None])


def composite(masks: Tensor, activations: Tensor, background_activation: Tensor) -> Tensor:
    """float32 [B, K + 1, H, W]: the share of each layer in each pixel, background first, summing to 1.

    `masks` [B, K, H, W] in [0, 1], `activations` logits [B, K]; the background's mask is 1 everywhere. Logits are taken
    relative to the strongest of the image and bounded below, which changes nothing but what would overflow.
    """
    logits = torch.cat((background_activation.expand(len(masks), 1), activations), dim=1)
    shifted = (logits - logits.detach().amax(dim=1, keepdim=True)).clamp(min=LOWEST_LOGIT)
    strengths = torch.exp(shifted)[:, :, None, None]
    claims = torch.cat((strengths[:, :1].expand(-1, -1, *masks.shape[2:]), strengths[:, 1:] * masks), dim=1)
    return claims / claims.sum(dim=1, keepdim=True)
