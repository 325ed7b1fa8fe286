"""Images as mixtures over slots: masks by stick-breaking, and their likelihood. All in log space."""

from __future__ import annotations

import torch
from torch import Tensor

from ocbench_models.blocks.distributions import normal_log_prob


def break_stick(log_scope: Tensor, log_share: Tensor, log_rest: Tensor) -> tuple[Tensor, Tensor]:
    """Log mask of one slot and the log scope that is left: what is there times `share`, and times 1 - `share`."""
    return log_scope + log_share, log_scope + log_rest


def mixture_nll(images: Tensor, means: Tensor, log_masks: Tensor, std: Tensor | float) -> Tensor:
    """float [B]: minus the log likelihood of images [B, 3, H, W], each channel of each pixel a mixture over slots.

    `means` [B, K, 3, H, W], `log_masks` [B, K, H, W], `std` one number or [K].
    """
    if isinstance(std, Tensor):
        std = std[None, :, None, None, None]
    densities = normal_log_prob(images[:, None], means, std)
    return -torch.logsumexp(log_masks[:, :, None] + densities, dim=1).sum(dim=(1, 2, 3))


def blend(weights: Tensor, colours: Tensor) -> Tensor:
    """float [B, 3, H, W]: colours [B, K, 3, H, W] mixed by weights [B, K, H, W]."""
    return (weights[:, :, None] * colours).sum(dim=1)
