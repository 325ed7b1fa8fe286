"""GECO: a KL whose weight moves until the reconstruction is as good as asked (GENESIS-V2, appendix)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

KEPT = 0.99  # of the moving average, at every update
FASTER = 10.0  # how much faster the weight grows than it falls
LIMITS = (1e-10, 1e10)  # of the weight


class Geco(nn.Module):
    """The weight `beta` of a KL. `goal` is the error per image, nats, that is good enough.

    A goal below the error of a perfect reconstruction can never be reached: the weight then falls to its limit, and
    the model becomes a plain autoencoder.
    """

    beta: Tensor
    average: Tensor
    started: Tensor

    def __init__(self, goal: float, rate: float) -> None:
        super().__init__()
        self.goal, self.rate = goal, rate
        self.register_buffer("beta", torch.ones(()))
        self.register_buffer("average", torch.zeros(()))  # of the error
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def forward(self, error: Tensor, kl: Tensor) -> Tensor:
        """error + beta kl, scalars."""
        return error + self.beta * kl

    def update(self, error: Tensor) -> None:
        """After an update of the weights, with its error, averaged over all processes."""
        average = torch.where(self.started, KEPT * self.average + (1 - KEPT) * error, error)
        slack = self.goal - average
        change = self.rate * torch.where(slack > 0, FASTER * slack, slack)  # of the kind of `slack`: float64 stays so
        self.average.copy_(average)
        self.beta.copy_((self.beta * torch.exp(change)).clamp(*LIMITS))
        self.started.fill_(True)
