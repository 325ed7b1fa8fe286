"""GENESIS-V2 whole: U-Net, masks by instance colouring, posterior, decoder and prior, and the loss.

Sections and equations are those of Engelcke, Parker Jones and Posner (2021).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ocbench import Prediction, UsageError
from ocbench_models.blocks.bounds import clamp_straight_through
from ocbench_models.blocks.decoders import broadcast
from ocbench_models.blocks.distributions import normal_log_prob, posterior_std, start_at
from ocbench_models.blocks.geco import Geco
from ocbench_models.blocks.grids import ramps
from ocbench_models.blocks.mixtures import blend, break_stick, mixture_nll
from ocbench_models.blocks.plans import genesis_plan
from ocbench_models.blocks.unet import UNet, check_side, norm_block
from ocbench_models.genesis_v2 import GenesisV2Config

GROUPS = 8  # of every GroupNorm
DOUBLINGS = 4  # of the decoder: its grid is 16 times coarser than the image
SHARES = (0.01, 0.99)  # least and most that a slot takes of what is left of a pixel
LEAST_MASS = 1e-5  # added to the pixels of a mask, so that an empty one divides by more than zero


@dataclass(frozen=True)
class Noise:
    """The random numbers of one forward pass. B batch, K slots, D numbers of a latent."""

    uniform: Tensor  # float [B, 1, H, W] in [0, 1): where the seeds fall
    normal: Tensor  # float [B, K, D], standard normal


@dataclass(frozen=True)
class Scene:
    """What a batch became. E numbers of a pixel's embedding."""

    embedding: Tensor  # float [B, E, H, W]
    seeds: Tensor  # float [B, K - 1, E], the embeddings around which masks grew
    log_attention: Tensor  # float [B, K, H, W], masks of these; their exponentials sum to 1
    mean: Tensor  # float [B, K, D], of the posterior
    std: Tensor  # float [B, K, D], of the posterior
    latent: Tensor  # float [B, K, D], what is decoded
    prior_mean: Tensor  # float [B, K, D]
    prior_std: Tensor  # float [B, K, D]
    colours: Tensor  # float [B, K, 3, H, W] in (0, 1)
    log_masks: Tensor  # float [B, K, H, W], the decoded masks; their exponentials sum to 1

    def reconstruction(self) -> Tensor:
        """float [B, 3, H, W]."""
        return blend(self.log_masks.exp(), self.colours)

    def kl(self) -> Tensor:
        """float [B, K], nats: divergence of each posterior from the prior, of the one sample that is decoded."""
        posterior = normal_log_prob(self.latent, self.mean, self.std)
        return (posterior - normal_log_prob(self.latent, self.prior_mean, self.prior_std)).sum(dim=2)


def group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(GROUPS, channels)


def prior_std(raw: Tensor) -> Tensor:
    """sigmoid(raw + 4) + 1e-4."""
    return torch.sigmoid(raw + 4) + 1e-4


class InstanceColouring(nn.Module):
    """Features to masks, by stick-breaking with a Gaussian kernel around random pixels (section 3.1, algorithm 1).

    The gate starts at 0: pixels are at first told apart by where they are.
    """

    def __init__(self, width: int, size: int, slots: int) -> None:
        super().__init__()
        self.slots = slots
        self.block = norm_block(width, width, group_norm)
        self.embed = nn.Conv2d(width, size, 1)
        self.gate = nn.Parameter(torch.zeros(1))
        self.log_variance = nn.Parameter(torch.tensor([-math.log(slots * math.log(2))]))

    def forward(self, features: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embedding, seeds and log masks, as in `Scene`; the kernel is computed without autocast."""
        embedded = self.embed(self.block(features))
        with torch.autocast(features.device.type, enabled=False):
            embedded = embedded.to(self.gate.dtype)
            height, width = embedded.shape[2:]
            where = ramps(height, width, embedded)
            placed = torch.cat((torch.zeros_like(embedded[0, :-2]), where))
            embedding = self.gate * embedded + placed
            return (embedding, *self._grow(embedding, uniform))

    def _grow(self, embedding: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        batch, size = embedding.shape[:2]
        pixels = embedding.flatten(2)
        scope = torch.zeros_like(embedding[:, :1])
        masks, seeds = [], []
        for _ in range(self.slots - 1):
            chosen = (uniform * scope.exp()).flatten(1).argmax(dim=1)
            seed = pixels.gather(2, chosen.view(batch, 1, 1).expand(-1, size, -1))
            distance = (embedding - seed[..., None]).square().sum(dim=1, keepdim=True)
            share = clamp_straight_through(torch.exp(-distance / self.log_variance.exp()), *SHARES)
            mask, scope = break_stick(scope, share.log(), torch.log1p(-share))
            masks.append(mask)
            seeds.append(seed.squeeze(2))
        return torch.stack(seeds, dim=1), torch.cat((*masks, scope), dim=1)


class Posterior(nn.Module):
    """Features and masks to the raw parameters of each slot's latent, [B, K, 2 D]."""

    def __init__(self, width: int, feature_size: int, latent_size: int) -> None:
        super().__init__()
        self.block = norm_block(width, width, group_norm)
        self.project = nn.Conv2d(width, feature_size, 1)
        self.head = nn.Sequential(
            nn.LayerNorm(feature_size),
            nn.Linear(feature_size, feature_size),
            nn.ReLU(),
            nn.Linear(feature_size, 2 * latent_size),
        )

    def forward(self, features: Tensor, masks: Tensor) -> Tensor:
        seen = self.project(self.block(features))
        with torch.autocast(features.device.type, enabled=False):
            sums = torch.einsum("bkhw,bfhw->bkf", masks, seen.to(masks.dtype))
            mass = masks.sum(dim=(2, 3))[..., None] + LEAST_MASS
        return self.head(sums / mass)


class Decoder(nn.Module):
    """Latents [N, D] to colours and a mask logit, float [N, 4, S, S]: a broadcast, then transposed convolutions."""

    def __init__(self, latent_size: int, width: int, side: int) -> None:
        super().__init__()
        self.side = side >> DOUBLINGS
        layers: list[nn.Module] = []
        for position in range(DOUBLINGS):
            above = width if position else latent_size + 2
            layers += [nn.ConvTranspose2d(above, width, 5, 2, 2, 1), group_norm(width), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 4, 1))

    def forward(self, latents: Tensor) -> Tensor:
        return self.layers(broadcast(latents, (self.side, self.side)))


class Prior(nn.Module):
    """What the slots before a slot say about its latent (section 3.3); the first one's is standard normal."""

    def __init__(self, latent_size: int, size: int) -> None:
        super().__init__()
        self.lstm = nn.LSTMCell(latent_size, size)
        self.project = nn.Linear(size, 2 * latent_size)

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations, float [B, K, D], for latents of the same shape."""
        state: tuple[Tensor, Tensor] | None = None
        found = []
        for latent in latents[:, :-1].unbind(dim=1):
            state = self.lstm(latent, state)
            found.append(state[0])
        mean, raw = self.project(torch.stack(found, dim=1)).to(latents.dtype).chunk(2, dim=2)
        first = torch.zeros_like(latents[:, :1])
        return torch.cat((first, mean.tanh()), dim=1), torch.cat((first + 1, prior_std(raw)), dim=1)


class GenesisV2(nn.Module):
    """Implements `ocbench.Model`; no slot is set aside for the background."""

    def __init__(self, config: GenesisV2Config, size: tuple[int, int], slots: int) -> None:
        super().__init__()
        side = check_side("genesis-v2", size)
        if slots < 2:
            raise UsageError(f"genesis-v2 cannot have {slots} slots", expected="2 or more")
        self.config, self.slots = config, slots
        self.unet = UNet(3, *genesis_plan(config.width, side), group_norm, side)
        self.colouring = InstanceColouring(config.width, config.embedding_size, slots)
        self.posterior = Posterior(config.width, config.feature_size, config.latent_size)
        self.decoder = Decoder(config.latent_size, config.decoder_width, side)
        self.prior = Prior(config.latent_size, config.prior_size)
        if config.first_std is not None:
            start_at(self.posterior.head[-1], config.first_std)
        self.geco = Geco(config.error_goal * 3 * side * side, config.geco_rate * (64 / side) ** 2)

    def noise(self, images: Tensor) -> Noise:
        """New random numbers for images [B, 3, H, W]."""
        uniform = torch.rand_like(images[:, :1])
        size = (len(images), self.slots, self.config.latent_size)
        return Noise(uniform, torch.randn(size, device=images.device, dtype=images.dtype))

    def forward(self, images: Tensor, noise: Noise | None = None) -> Scene:
        """The scene of images [B, 3, H, W]."""
        noise = noise or self.noise(images)
        features = self.unet(images)
        embedding, seeds, log_attention = self.colouring(features, noise.uniform)
        parameters = self.posterior(features, log_attention.exp()).to(images.dtype)
        mean, raw = parameters.chunk(2, dim=2)
        std = posterior_std(raw)
        exact = self.config.latents == "mean" and not self.training
        latent = mean if exact else mean + std * noise.normal
        drawn = self.decoder(latent.flatten(0, 1)).to(images.dtype).unflatten(0, latent.shape[:2])
        colours, log_masks = drawn[:, :, :3].sigmoid(), drawn[:, :, 3].log_softmax(dim=1)
        before, before_std = self.prior(latent)
        return Scene(embedding, seeds, log_attention, mean, std, latent, before, before_std, colours, log_masks)

    def loss(self, images: Tensor, phase: str, clock: Tensor, precomputed: Tensor | None = None) -> dict[str, Tensor]:
        """Error and divergence, nats: sums over an image, averaged over the batch."""
        return self.terms(images, self(images))

    def terms(self, images: Tensor, scene: Scene) -> dict[str, Tensor]:
        """The loss of a scene."""
        with torch.autocast(images.device.type, enabled=False):
            error = mixture_nll(images, scene.colours, scene.log_masks, self.config.pixel_std).mean()
            kl = scene.kl().sum(dim=1).mean()
            total = self.geco(error, kl)
        # A copy: the buffer moves after the step, and CUDA graphs do not like a loss that is an input.
        return {"total": total, "error": error.detach(), "kl": kl.detach(), "beta": self.geco.beta.clone()}

    def after_step(
        self, terms: Mapping[str, Tensor], phase: str, n: int, optimizers: Sequence[torch.optim.Optimizer]
    ) -> None:
        """Moves the weight of the divergence."""
        self.geco.update(terms["error"])

    def predict(self, images: Tensor, detail: bool = False) -> Prediction:
        """The decoded masks, with those of the embedding, which the authors score, as the alternative `attention`."""
        scene = self(images)
        attention = scene.log_attention.exp()
        return Prediction(
            weights=scene.log_masks.exp(),
            reconstruction=scene.reconstruction(),
            layers=scene.colours if detail else None,
            alternatives={"attention": attention},
            attention=attention if detail else None,
        )
