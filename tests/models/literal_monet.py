"""A training step of MONet and MONet-g as section 10 of the specification writes it, slot by slot."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Categorical, Normal, kl_divergence

from ocbench_models.monet.model import Monet

from .literal_layers import conv, linear, mixture_nll, tiled_with_coordinates, u_net, weighted


def attention_masks(model: Monet, images: Tensor) -> list[Tensor]:
    """Log masks [B, 1, H, W], one for each slot."""
    log_scope = torch.zeros_like(images[:, :1])
    log_masks = []
    for _ in range(model.slots - 1):
        features = u_net(torch.cat((images, log_scope), dim=1), model.cutter.unet, groups=None)
        logit = conv(features, model.cutter.last)
        log_masks.append(log_scope + F.logsigmoid(logit))
        log_scope = log_scope + F.logsigmoid(-logit)
    return [*log_masks, log_scope]


def encode(model: Monet, images: Tensor, log_mask: Tensor) -> Normal:
    """The posterior of a slot, [B, D]."""
    x = torch.cat((log_mask, images) if model.config.mask_first else (images, log_mask), dim=1)
    *convolutions, first, second = weighted(model.encoder)
    for layer in convolutions:
        x = F.relu(conv(x, layer, stride=2, padding=1))
    mean, raw = linear(F.relu(linear(x.flatten(1), first)), second).chunk(2, dim=1)
    if model.config.latent_std == "exp":
        return Normal(mean, raw.exp())
    return Normal(mean, F.softplus(raw + 0.5) + 1e-8)


def decode(model: Monet, z: Tensor, size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Colour [B, 3, H, W] and mask logit [B, 1, H, W] of a slot."""
    x = tiled_with_coordinates(z, size[0] + 8, size[1] + 8)
    *convolutions, last = weighted(model.decoder)
    for layer in convolutions:
        x = F.relu(conv(x, layer))
    x = conv(x, last)
    return x[:, :3].sigmoid(), x[:, 3:]


def mask_divergence(log_masks: list[Tensor], logits: list[Tensor], floor: float) -> Tensor:
    """[B]; log masks and mask logits [B, 1, H, W] of every slot."""
    log_m, log_found = torch.cat(log_masks, dim=1), torch.cat(logits, dim=1).log_softmax(dim=1)
    if not floor:
        return (log_m.exp() * (log_m - log_found)).sum((1, 2, 3))
    m, found = (log.exp().clamp(min=floor).permute(0, 2, 3, 1) for log in (log_m, log_found))
    return kl_divergence(Categorical(probs=m), Categorical(probs=found)).sum((1, 2))


def loss(model: Monet, images: Tensor, clock: Tensor, beta: float = 1.0) -> dict[str, Tensor]:
    config, slots = model.config, model.slots
    log_masks = attention_masks(model, images)
    noise = torch.randn(len(images), slots, config.latent_size, dtype=images.dtype)
    standard = Normal(torch.zeros((), dtype=images.dtype), torch.ones((), dtype=images.dtype))
    colours, logits, kl = [], [], 0
    for k in range(slots):
        posterior = encode(model, images, log_masks[k])
        z = posterior.mean + posterior.stddev * noise[:, k]
        colour, logit = decode(model, z, images.shape[2:])
        colours.append(colour)
        logits.append(logit)
        if config.exact_kl:
            kl = kl + kl_divergence(posterior, standard).sum(1)
        else:
            kl = kl + (posterior.log_prob(z) - standard.log_prob(z)).sum(1)
    sigmas = [config.background_std, *[config.foreground_std] * (slots - 1)]
    error, kl = mixture_nll(images, colours, log_masks, sigmas).mean(), kl.mean()
    mask_kl = mask_divergence(log_masks, logits, config.mask_floor).mean()
    if config.geco:
        total = error + beta * (kl + mask_kl)
    else:
        total = error + config.latent_weight * kl + config.mask_weight * mask_kl
    return {"total": total, "error": error, "latent_kl": kl, "mask_kl": mask_kl}
