"""What the literal baselines share: layers called by their weights alone, and the formulas that several specify.

Strides, paddings, groups and activations are written out here and in the literal models; of our modules only the
weights are read, in their order. LSTM and GRU cells are torch's own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Normal

from ocbench_models.blocks.unet import UNet


def weighted(module: nn.Module) -> list[nn.Module]:
    """The layers of a module that have weights, in their order."""
    return [each for each in module.modules() if isinstance(getattr(each, "weight", None), Tensor)]


def conv(x: Tensor, layer: nn.Module, stride: int = 1, padding: int = 0) -> Tensor:
    return F.conv2d(x, layer.weight, layer.bias, stride, padding)


def deconv(x: Tensor, layer: nn.Module, stride: int, padding: int, output_padding: int) -> Tensor:
    return F.conv_transpose2d(x, layer.weight, layer.bias, stride, padding, output_padding)


def linear(x: Tensor, layer: nn.Module) -> Tensor:
    return F.linear(x, layer.weight, layer.bias)


def layer_norm(x: Tensor, layer: nn.Module) -> Tensor:
    return F.layer_norm(x, layer.weight.shape, layer.weight, layer.bias, eps=1e-5)


def group_norm(x: Tensor, layer: nn.Module, groups: int) -> Tensor:
    return F.group_norm(x, groups, layer.weight, layer.bias, eps=1e-5)


def instance_norm(x: Tensor, layer: nn.Module) -> Tensor:
    return F.instance_norm(x, weight=layer.weight, bias=layer.bias, eps=1e-5)


def rows_and_columns(height: int, width: int, low: float, like: Tensor) -> Tensor:
    """[2, H, W]: the row, then the column coordinate; the corners are at `low` and at 1."""
    rows = torch.linspace(low, 1, height, dtype=like.dtype)[:, None].expand(height, width)
    columns = torch.linspace(low, 1, width, dtype=like.dtype)[None, :].expand(height, width)
    return torch.stack((rows, columns))


def tiled_with_coordinates(z: Tensor, height: int, width: int) -> Tensor:
    """[B, D + 2, H, W] of z [B, D]."""
    grid = rows_and_columns(height, width, -1, z)
    return torch.cat((z[:, :, None, None].repeat(1, 1, height, width), grid[None].repeat(len(z), 1, 1, 1)), dim=1)


def u_net(x: Tensor, net: UNet, groups: int | None) -> Tensor:
    """Section 1 of the specification; InstanceNorm without groups."""

    def block(x: Tensor, layers: nn.Module) -> Tensor:
        convolution, norm = weighted(layers)
        x = conv(x, convolution, padding=1)
        return F.relu(instance_norm(x, norm) if groups is None else group_norm(x, norm, groups))

    skips = []
    for number, layers in enumerate(net.down):
        if number > 0:
            x = F.interpolate(x, scale_factor=0.5, mode="nearest")
        x = block(x, layers)
        skips.append(x)
    flat = x.flatten(1)
    for layer in weighted(net.bottleneck):
        flat = F.relu(linear(flat, layer))
    x = flat.reshape(x.shape)
    for number, layers in enumerate(net.up):
        if number > 0:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = block(torch.cat((x, skips[-1 - number]), dim=1), layers)
    return x


def mixture_nll(x: Tensor, colours: list[Tensor], log_masks: list[Tensor], sigmas: list[float]) -> Tensor:
    """[B]; a list has an entry [B, 3, H, W] or [B, 1, H, W] for every slot."""
    slots = zip(colours, log_masks, sigmas, strict=True)
    each = [log_mask + Normal(mean, sigma).log_prob(x) for mean, log_mask, sigma in slots]
    return -torch.logsumexp(torch.stack(each), dim=0).sum((1, 2, 3))


def clamp_through(x: Tensor, low: float, high: float) -> Tensor:
    """Clamped, with the gradient of what is not."""
    return x + (x.clamp(low, high) - x).detach()
