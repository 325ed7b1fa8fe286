"""The networks of GNM: what an image is encoded by, and what latents are read from and drawn by.

Maps are float [B, 128, G, G] on the grid of cells. A mean and a standard deviation come as one output, split into
halves along the channels, the second before softplus, to which no floor is added.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ocbench_models.blocks.distributions import normal_kl
from ocbench_models.blocks.subpixel import SubPixelLayer, sub_pixel_stack

WIDTH = 128  # channels of every map on the grid of cells
LARGEST_LOGIT = 8.8  # of a presence: float32 can tell its probability from 1
BACKGROUND_PLAN = ((128, 4), (64, 2), (32, 4), (16, 2), (8, 2))  # channels, growth at 128 x 128


class Normal(NamedTuple):
    """Independent normal distributions, float32 or better."""

    mean: Tensor
    std: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        return self.mean + self.std * noise

    def kl(self, prior: Normal) -> Tensor:
        """KL of this from `prior`, element by element."""
        return normal_kl(*self, *prior)


def normal(raw: Tensor) -> Normal:
    """The distributions that raw numbers [..., 2 D] stand for, [..., D]."""
    mean, spread = raw.to(torch.promote_types(raw.dtype, torch.float32)).chunk(2, dim=-1)
    return Normal(mean, softplus(spread))


def mlp(sizes: tuple[int, ...], bare_last: bool = True) -> nn.Sequential:
    """Linear layers, each but a bare last one followed by CELU, then LayerNorm."""
    layers: list[nn.Module] = []
    for at, (size, width) in enumerate(pairwise(sizes), start=1):
        layers.append(nn.Linear(size, width))
        if at < len(sizes) - 1 or not bare_last:
            layers += [nn.CELU(), nn.LayerNorm(width)]
    return nn.Sequential(*layers)


def encoder(halvings: int) -> nn.Sequential:
    """float [B, 3, H, W] -> [B, 128, G, G], halved so many times, with a convolution of stride 1 between two."""
    layers: list[nn.Module] = []
    channels = 3
    for at in range(halvings):
        last = at == halvings - 1
        width = WIDTH if last else min(WIDTH, 16 * 2**at)
        layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.CELU(), nn.GroupNorm(1, width)]
        if not last:
            layers += [nn.Conv2d(width, width, 3, 1, 1), nn.CELU(), nn.GroupNorm(1, width)]
        channels = width
    return nn.Sequential(*layers)


def glimpse_decoder(what_size: int, side: int) -> nn.Sequential:
    """float [N, what_size, 1, 1] -> [N, 4, side, side] in (0, 1): colour and alpha."""
    plan = [(WIDTH // 2**at, 2) for at in range(side.bit_length() - 2)] + [(4, 2)]
    return nn.Sequential(*sub_pixel_stack(what_size, plan, kernel=3, bare_last=True), nn.Sigmoid())


def background_decoder(size: int, side: int) -> nn.Sequential:
    """float [B, size, 1, 1] -> [B, 3, side, side] in (0, 1); the last layers grow less for images below 128 x 128."""
    plan, reached = [], 1
    for width, factor in BACKGROUND_PLAN:
        plan.append((width, min(factor, side // reached)))
        reached *= plan[-1][1]
    plan[-1] = (plan[-1][0], plan[-1][1] * side // reached)
    layers = sub_pixel_stack(size, plan, kernel=1, bare_last=False)
    return nn.Sequential(*layers, SubPixelLayer(plan[-1][0], 3, 1, 3, groups=None), nn.Sigmoid())


class Local(NamedTuple):
    """Distributions of the latents of all cells, row by row."""

    presence: Tensor  # float [B, G G, 1], logits
    where: Normal  # [B, G G, 4]: scale, ratio, shift along x, along y
    depth: Normal  # [B, G G, 1]
    what: Normal  # [B, G G, what_size]


class LocalHeads(nn.Module):
    """Reads the latents of each cell from a map; the same weights serve the prior and the posterior."""

    def __init__(self, what_size: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *(nn.Conv2d(WIDTH, WIDTH, 1), nn.CELU(), nn.GroupNorm(1, WIDTH)),
            *(nn.Conv2d(WIDTH, WIDTH, 1), nn.CELU(), nn.GroupNorm(1, WIDTH)),
        )
        self.presence = nn.Conv2d(WIDTH, 1, 1)
        self.where = nn.Conv2d(WIDTH, 8, 1)
        self.depth = nn.Conv2d(WIDTH, 2, 1)
        self.what = nn.Conv2d(WIDTH, 2 * what_size, 1)
        nn.init.uniform_(self.where.weight, -0.01, 0.01)
        assert self.where.bias is not None
        with torch.no_grad():
            self.where.bias.copy_(torch.tensor([-1.0] + 7 * [0.0]))  # small boxes at first

    def forward(self, maps: Tensor) -> Local:
        features = self.trunk(maps)
        heads = (self.presence, self.where, self.depth, self.what)
        presence, where, depth, what = (head(features).flatten(2).transpose(1, 2) for head in heads)
        presence = presence.to(torch.promote_types(presence.dtype, torch.float32))
        return Local(LARGEST_LOGIT * torch.tanh(presence), normal(where), normal(depth), normal(what))


class Gates(nn.Module):
    """One step of an LSTM in every cell by itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels + WIDTH, 4 * WIDTH, 1)

    def forward(self, read: Tensor, hidden: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """The next hidden state and memory, [B, 128, G, G] each."""
        taken, kept, shown, candidate = self.conv(torch.cat((read, hidden), dim=1)).chunk(4, dim=1)
        memory = torch.sigmoid(kept) * memory + torch.sigmoid(taken) * torch.tanh(candidate)
        return torch.sigmoid(shown) * torch.tanh(memory), memory


class StructDraw(nn.Module):
    """The global latent: rounds in which a map of the scene's structure is drawn from samples of a few numbers."""

    def __init__(self, grid: int, rounds: int, size: int) -> None:
        super().__init__()
        self.rounds = rounds
        state, flat = (1, WIDTH, grid, grid), WIDTH * grid**2
        self.reader_hidden = nn.Parameter(torch.zeros(state))
        self.reader_memory = nn.Parameter(torch.zeros(state))
        self.writer_hidden = nn.Parameter(torch.zeros(state))
        self.writer_memory = nn.Parameter(torch.zeros(state))
        self.prior = mlp((flat, 512, 512, 2 * size))
        self.reader = Gates(3 * WIDTH)
        self.posterior = mlp((flat, 512, 512, 2 * size))
        self.spread = nn.Sequential(*mlp((size, 512, 1024, flat), bare_last=False), nn.Unflatten(1, state[1:]))
        self.writer = Gates(2 * WIDTH)
        self.canvas = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, encoding: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Normal, Normal]:
        """The structure [B, 128, G, G], the samples [B, rounds size], and posterior and prior [B, rounds, size].

        `noise` float [B, rounds, size], standard normal.
        """
        batch = len(encoding)
        read, read_memory, written, write_memory = (
            start.expand(batch, -1, -1, -1)
            for start in (self.reader_hidden, self.reader_memory, self.writer_hidden, self.writer_memory)
        )
        structure = torch.zeros_like(encoding)
        priors, posteriors, samples = [], [], []
        for at in range(self.rounds):
            priors.append(self.prior(_by_position(written)))
            seen = torch.cat((encoding, encoding - structure, written), dim=1)
            read, read_memory = self.reader(seen, read, read_memory)
            posteriors.append(self.posterior(_by_position(read)))
            samples.append(normal(posteriors[-1]).sample(noise[:, at]))
            drawn = torch.cat((self.spread(samples[-1]), structure), dim=1)
            written, write_memory = self.writer(drawn, written, write_memory)
            structure = structure + self.canvas(written)
        found = normal(torch.stack(posteriors, dim=1)), normal(torch.stack(priors, dim=1))
        return structure, torch.cat(samples, dim=1), *found


def _by_position(maps: Tensor) -> Tensor:
    """[B, C, G, G] -> [B, G G C], position by position."""
    return maps.permute(0, 2, 3, 1).flatten(1)
