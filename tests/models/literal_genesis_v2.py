"""A training step of GENESIS-V2 as section 7 of the specification writes it, slot by slot."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal

from ocbench_models.genesis_v2.model import GenesisV2, InstanceColouring

from .literal_layers import (
    clamp_through,
    conv,
    deconv,
    group_norm,
    layer_norm,
    linear,
    mixture_nll,
    rows_and_columns,
    tiled_with_coordinates,
    u_net,
    weighted,
)


def attention_masks(features: Tensor, net: InstanceColouring, uniform: Tensor) -> list[Tensor]:
    """Log masks [B, 1, H, W], one for each slot; `uniform` [B, 1, H, W]."""
    convolution, norm, embed = weighted(net)
    x = net.gate * conv(F.relu(group_norm(conv(features, convolution, padding=1), norm, 8)), embed)
    grid = rows_and_columns(*x.shape[2:], -1, x)
    x = torch.cat((x[:, :-2], x[:, -2:] + grid), dim=1)
    variance = net.log_variance.exp()
    log_scope = torch.zeros_like(uniform)
    log_masks = []
    for _ in range(net.slots - 1):
        places = (uniform * log_scope.exp()).flatten(1).argmax(dim=1)
        seed = torch.stack([image.flatten(1)[:, place] for image, place in zip(x, places, strict=True)])
        distance = ((x - seed[:, :, None, None]) ** 2).sum(dim=1, keepdim=True)
        alpha = clamp_through(torch.exp(-distance / variance), 0.01, 0.99)
        log_masks.append(log_scope + torch.log(alpha))
        log_scope = log_scope + torch.log(1 - alpha)
    return [*log_masks, log_scope]


def decode(model: GenesisV2, z: Tensor, size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Colour [B, 3, H, W] and mask logit [B, 1, H, W] of a slot."""
    x = tiled_with_coordinates(z, size[0] // 16, size[1] // 16)
    *layers, last = weighted(model.decoder)
    for layer, norm in zip(layers[0::2], layers[1::2], strict=True):
        x = F.relu(group_norm(deconv(x, layer, 2, 2, 1), norm, 8))
    x = conv(x, last)
    return x[:, :3].sigmoid(), x[:, 3:]


def posteriors(model: GenesisV2, features: Tensor, log_masks: list[Tensor]) -> list[Normal]:
    """[B, D], one for each slot."""
    convolution, norm, project, layer_norm_, first, second = weighted(model.posterior)
    x = conv(F.relu(group_norm(conv(features, convolution, padding=1), norm, 8)), project)
    found = []
    for log_mask in log_masks:
        m = log_mask.exp()
        mean = (m * x).sum((2, 3)) / (m.sum((2, 3)) + 1e-5)
        mu, raw = linear(F.relu(linear(layer_norm(mean, layer_norm_), first)), second).chunk(2, dim=1)
        found.append(Normal(mu, F.softplus(raw + 0.5) + 1e-8))
    return found


def priors(model: GenesisV2, z: list[Tensor]) -> list[Normal]:
    """[B, D], one for each slot."""
    found, state = [Normal(torch.zeros_like(z[0]), torch.ones_like(z[0]))], None
    for before in z[:-1]:
        state = model.prior.lstm(before, state)
        mean, raw = linear(state[0], model.prior.project).chunk(2, dim=1)
        found.append(Normal(torch.tanh(mean), torch.sigmoid(raw + 4) + 1e-4))
    return found


def loss(model: GenesisV2, images: Tensor, clock: Tensor, beta: float = 1.0) -> dict[str, Tensor]:
    uniform = torch.rand(len(images), 1, *images.shape[2:], dtype=images.dtype)
    noise = torch.randn(len(images), model.slots, model.config.latent_size, dtype=images.dtype)
    features = u_net(images, model.unet, groups=8)
    log_masks = attention_masks(features, model.colouring, uniform)
    q = posteriors(model, features, log_masks)
    z = [posterior.mean + posterior.stddev * noise[:, k] for k, posterior in enumerate(q)]
    p = priors(model, z)
    colours, logits = zip(*[decode(model, each, images.shape[2:]) for each in z], strict=True)
    decoded = torch.stack(logits).log_softmax(dim=0)
    error = mixture_nll(images, colours, decoded, [model.config.pixel_std] * model.slots).mean()
    kl = sum((q[k].log_prob(z[k]) - p[k].log_prob(z[k])).sum(1) for k in range(model.slots)).mean()
    return {"total": error + beta * kl, "error": error, "kl": kl}
