"""Divergences and samples of the latents that several models share. Natural logarithms; nothing is summed up."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ocbench import UsageError

NEAREST = 1.2e-7  # of a uniform or relaxed number to 0 or 1: what float32 can tell from them
HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def normal_log_prob(value: Tensor, mean: Tensor | float, std: Tensor | float) -> Tensor:
    """log N(value; mean, std), element by element."""
    log_std = std.log() if isinstance(std, Tensor) else math.log(std)
    return -0.5 * ((value - mean) / std).square() - log_std - HALF_LOG_TAU


def normal_kl(mean: Tensor, std: Tensor, prior_mean: Tensor | float = 0.0, prior_std: Tensor | float = 1.0) -> Tensor:
    """KL(N(mean, std) || N(prior_mean, prior_std)), element by element."""
    ratio = std / prior_std
    return 0.5 * (ratio.square() + ((mean - prior_mean) / prior_std).square() - 1) - ratio.log()


def bernoulli_kl(q: Tensor, p: Tensor, eps: float = 1e-15) -> Tensor:
    """KL of Bernoulli(q) from Bernoulli(p), element by element, with `eps` within the logarithms."""
    on = q * (torch.log(q + eps) - torch.log(p + eps))
    return on + (1 - q) * (torch.log(1 - q + eps) - torch.log(1 - p + eps))


def relaxed_bernoulli(logits: Tensor, uniform: Tensor, temperature: Tensor) -> Tensor:
    """A sample in (0, 1) of the relaxed Bernoulli, from uniform numbers in [0, 1) of the same shape."""
    uniform = uniform.clamp(NEAREST, 1 - NEAREST)
    noise = uniform.log() - torch.log1p(-uniform)
    return torch.sigmoid((logits + noise) / temperature).clamp(max=1 - NEAREST)


def posterior_std(raw: Tensor) -> Tensor:
    """softplus(raw + 0.5) + 1e-8: how GENESIS-V2 and MONet-g bound a standard deviation from below."""
    return softplus(raw + 0.5) + 1e-8


def raw_of(std: float) -> float:
    """The number of which `posterior_std` makes `std`, both floats; std > 0."""
    return math.log(math.expm1(std)) - 0.5


def start_at(layer: nn.Module, std: float, raw: Callable[[float], float] = raw_of) -> None:
    """Sets the bias of a linear layer's second half of outputs, raw standard deviations, to what `raw` makes of `std`.

    UsageError for `std` 0 or less.
    """
    if std <= 0:
        raise UsageError(f"posteriors cannot start with a standard deviation of {std:g}", expected="more than 0")
    assert isinstance(layer, nn.Linear)
    nn.init.constant_(layer.bias[layer.out_features // 2 :], raw(std))
